using System.Globalization;
using System.Text;

namespace Granary.Text.Templates;

/// <summary>The functions every template can call.</summary>
internal sealed partial class Interpreter
{
    private IEnumerable<(string Name, object? Value)> Globals()
    {
        yield return ("range", new FunctionValue("range", Range));
        yield return ("namespace", new FunctionValue("namespace", arguments =>
        {
            var space = new NamespaceValue();
            foreach (var (key, value) in ToDictionary(arguments).Entries) space.Attributes[ToText(key)] = value;
            return space;
        }));
        yield return ("dict", new FunctionValue("dict", ToDictionary));
        yield return ("raise_exception", new FunctionValue("raise_exception", arguments =>
            throw new ChatTemplateException(ToText(arguments.Get(0, "message", ""))) { Raised = true }));
        yield return ("strftime_now", new FunctionValue("strftime_now", arguments => FormatTime(arguments.Text(0, "format"))));
        yield return ("cycler", new FunctionValue("cycler", arguments =>
            arguments.Positional.Count > 0 ? new CyclerValue([.. arguments.Positional]) : throw arguments.Bad("has nothing to cycle through")));
        yield return ("joiner", new FunctionValue("joiner", arguments =>
        {
            var separator = arguments.Text(0, "sep", ", ");
            var used = false;
            return new FunctionValue("joiner", _ =>
            {
                if (used) return separator;
                used = true;
                return "";
            });
        }));
    }

    private ListValue Range(CallArguments arguments)
    {
        var single = arguments.Positional.Count == 1;
        var start = single ? 0 : arguments.Long(0, "start", 0);
        var stop = arguments.Long(single ? 0 : 1, "stop", 0);
        var step = arguments.Long(2, "step", 1);
        if (step == 0) throw arguments.Bad("has the step 0");
        var count = Math.Max(0, Math.Ceiling(((double)stop - start) / step));
        if (count > TemplateLimits.MaxItems) throw arguments.Bad($"has more than {TemplateLimits.MaxItems} items");
        Step((long)count);
        var items = new object?[(int)count];
        for (var index = 0; index < items.Length; index++) items[index] = start + (index * step);
        return new ListValue(items);
    }

    private DictionaryValue ToDictionary(CallArguments arguments)
    {
        var result = new DictionaryValue();
        if (arguments.Positional.Count > 0)
        {
            if (arguments.Positional[0] is DictionaryValue source)
            {
                foreach (var (key, value) in source.Entries) result.Set(key, value);
            }
            else
            {
                foreach (var item in ValueOperations.Items(arguments.Positional[0]))
                {
                    var pair = ValueOperations.Items(item);
                    if (pair.Count != 2) throw arguments.Bad("needs pairs");
                    result.Set(Key(pair[0]), pair[1]);
                }
            }
        }

        foreach (var (key, value) in arguments.Named) result.Set(key, value);
        return result;
    }

    private string FormatTime(string format)
    {
        var now = _time.GetLocalNow();
        var output = new StringBuilder();
        for (var index = 0; index < format.Length; index++)
        {
            if (format[index] != '%' || index + 1 >= format.Length)
            {
                output.Append(format[index]);
                continue;
            }

            var bare = format[index + 1] == '-' && index + 2 < format.Length;
            index += bare ? 2 : 1;
            var text = format[index] switch
            {
                'Y' => now.ToString("yyyy", CultureInfo.InvariantCulture),
                'y' => now.ToString("yy", CultureInfo.InvariantCulture),
                'm' => now.ToString("MM", CultureInfo.InvariantCulture),
                'd' => now.ToString("dd", CultureInfo.InvariantCulture),
                'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
                'H' => now.ToString("HH", CultureInfo.InvariantCulture),
                'I' => now.ToString("hh", CultureInfo.InvariantCulture),
                'M' => now.ToString("mm", CultureInfo.InvariantCulture),
                'S' => now.ToString("ss", CultureInfo.InvariantCulture),
                'f' => now.ToString("ffffff", CultureInfo.InvariantCulture),
                'j' => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
                'p' => now.ToString("tt", CultureInfo.InvariantCulture),
                'A' => now.ToString("dddd", CultureInfo.InvariantCulture),
                'a' => now.ToString("ddd", CultureInfo.InvariantCulture),
                'B' => now.ToString("MMMM", CultureInfo.InvariantCulture),
                'b' or 'h' => now.ToString("MMM", CultureInfo.InvariantCulture),
                'w' => ((int)now.DayOfWeek).ToString(CultureInfo.InvariantCulture),
                'u' => (now.DayOfWeek == DayOfWeek.Sunday ? 7 : (int)now.DayOfWeek).ToString(CultureInfo.InvariantCulture),
                'D' => now.ToString("MM/dd/yy", CultureInfo.InvariantCulture),
                'F' => now.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
                'T' => now.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
                'R' => now.ToString("HH:mm", CultureInfo.InvariantCulture),
                'c' => now.ToString("ddd MMM", CultureInfo.InvariantCulture) + now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(3) + now.ToString(" HH:mm:ss yyyy", CultureInfo.InvariantCulture),
                'x' => now.ToString("MM/dd/yy", CultureInfo.InvariantCulture),
                'X' => now.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
                'z' => now.ToString("zzz", CultureInfo.InvariantCulture).Replace(":", "", StringComparison.Ordinal),
                'Z' => "",
                '%' => "%",
                _ => throw Failed($"'strftime_now' does not know the format %{format[index]}"),
            };
            if (output.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
            output.Append(bare && text.Length > 1 ? text.TrimStart('0') : text);
        }

        return output.ToString();
    }
}

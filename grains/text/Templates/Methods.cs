using System.Globalization;
using System.Text;

namespace Granary.Text.Templates;

/// <summary>The methods of strings, lists and dictionaries; those that would change a value are refused, as Transformers' sandbox refuses them.</summary>
internal static class Methods
{
    public static FunctionValue? Find(Interpreter interpreter, object? target, string name)
    {
        Func<CallArguments, object?>? body = target switch
        {
            string text => OfText(interpreter, text, name),
            SafeText text => OfText(interpreter, text.Value, name),
            DictionaryValue dictionary => OfDictionary(interpreter, dictionary, name),
            ListValue list => OfList(interpreter, list, name),
            _ => null,
        };
        return body is null ? null : new FunctionValue(name, body);
    }

    private static Func<CallArguments, object?>? OfText(Interpreter interpreter, string text, string name) => name switch
    {
        "strip" => arguments => Text.Trim(text, Characters(arguments)),
        "lstrip" => arguments => Text.Trim(text, Characters(arguments), end: false),
        "rstrip" => arguments => Text.Trim(text, Characters(arguments), start: false),
        "split" => arguments => Text.Split(interpreter, text, Separator(arguments), arguments.Long(1, "maxsplit", -1), fromRight: false),
        "rsplit" => arguments => Text.Split(interpreter, text, Separator(arguments), arguments.Long(1, "maxsplit", -1), fromRight: true),
        "splitlines" => _ => new ListValue([.. (text.EndsWith('\n') ? text[..^1] : text).Split('\n').Where(line => text.Length > 0 || line.Length > 0)]),
        "startswith" => arguments => Affixes(interpreter, arguments).Any(affix => text.StartsWith(affix, StringComparison.Ordinal)),
        "endswith" => arguments => Affixes(interpreter, arguments).Any(affix => text.EndsWith(affix, StringComparison.Ordinal)),
        "removeprefix" => arguments => arguments.Text(0, "prefix") is var prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
        "removesuffix" => arguments => arguments.Text(0, "suffix") is var suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
        "upper" => _ => text.ToUpperInvariant(),
        "lower" or "casefold" => _ => text.ToLowerInvariant(),
        "title" => _ => Text.Title(text),
        "capitalize" => _ => Text.Capitalize(text),
        "replace" => arguments => Text.Replace(interpreter, text, arguments.Text(0, "old"), arguments.Text(1, "new"), arguments.Long(2, "count", -1)),
        "find" => arguments => (long)text.IndexOf(arguments.Text(0, "sub"), StringComparison.Ordinal),
        "rfind" => arguments => (long)text.LastIndexOf(arguments.Text(0, "sub"), StringComparison.Ordinal),
        "count" => arguments => Count(interpreter, text, arguments.Text(0, "sub")),
        "join" => arguments => Join(interpreter, ValueOperations.Items(arguments.Required(0, "iterable")), text),
        "format" => arguments => Format(interpreter, text, arguments),
        "isdigit" or "isnumeric" or "isdecimal" => _ => text.Length > 0 && text.All(char.IsDigit),
        "isalpha" => _ => text.Length > 0 && text.All(char.IsLetter),
        "isalnum" => _ => text.Length > 0 && text.All(char.IsLetterOrDigit),
        "isspace" => _ => text.Length > 0 && text.All(char.IsWhiteSpace),
        "isupper" => _ => Text.IsUpper(text),
        "islower" => _ => Text.IsLower(text),
        "partition" => arguments => Partition(text, arguments, last: false),
        "rpartition" => arguments => Partition(text, arguments, last: true),
        "swapcase" => _ => string.Concat(text.Select(c => char.IsUpper(c) ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c))),
        "zfill" => arguments => text.PadLeft(Width(arguments), '0'),
        "ljust" => arguments => text.PadRight(Width(arguments)),
        "rjust" => arguments => text.PadLeft(Width(arguments)),
        _ => null,
    };

    private static Func<CallArguments, object?>? OfDictionary(Interpreter interpreter, DictionaryValue dictionary, string name) => name switch
    {
        "get" => arguments => dictionary.TryGet(interpreter.Key(arguments.Required(0, "key")), out var value) ? value : arguments.Get(1, "default"),
        "keys" => _ => new ListValue([.. dictionary.Entries.Select(entry => entry.Key)]),
        "values" => _ => new ListValue([.. dictionary.Entries.Select(entry => entry.Value)]),
        "items" => _ => Items(dictionary),
        "copy" => _ => dictionary,
        "update" or "pop" or "popitem" or "setdefault" or "clear" when !dictionary.TryGet(name, out _) => Refuse,
        _ => null,
    };

    private static Func<CallArguments, object?>? OfList(Interpreter interpreter, ListValue list, string name) => name switch
    {
        "index" => arguments => list.Items.ToList().FindIndex(item => interpreter.AreEqual(item, arguments.Required(0, "value"))) is >= 0 and var found
            ? (long)found
            : throw arguments.Bad("finds no such item"),
        "count" => arguments => (long)list.Items.Count(item => interpreter.AreEqual(item, arguments.Required(0, "value"))),
        "copy" => _ => list,
        "append" or "extend" or "insert" or "pop" or "remove" or "clear" or "reverse" or "sort" => Refuse,
        _ => null,
    };

    public static ListValue Items(DictionaryValue dictionary) =>
        new([.. dictionary.Entries.Select(entry => new ListValue([entry.Key, entry.Value], isTuple: true))]);

    public static string Join(Interpreter interpreter, IReadOnlyList<object?> items, string separator)
    {
        var output = new StringBuilder();
        for (var index = 0; index < items.Count; index++)
        {
            interpreter.Step();
            if (index > 0) output.Append(separator);
            output.Append(interpreter.ToText(items[index]));
            if (output.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
        }

        interpreter.Step(output.Length / 16);
        return output.ToString();
    }

    /// <summary><c>'%s' % x</c>, with the conversions that templates use: s, d and %.</summary>
    public static string Percent(Interpreter interpreter, string format, object? value)
    {
        var values = value is ListValue { IsTuple: true } tuple ? tuple.Items : [value];
        var next = 0;
        var output = new StringBuilder();
        for (var index = 0; index < format.Length; index++)
        {
            if (format[index] != '%' || index + 1 >= format.Length)
            {
                output.Append(format[index]);
                continue;
            }

            switch (format[++index])
            {
                case '%':
                    output.Append('%');
                    break;
                case 's' or 'd' or 'i' when next < values.Count:
                    var text = interpreter.ToText(values[next++]);
                    interpreter.Step(text.Length / 16);
                    if (output.Length + text.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
                    output.Append(text);
                    break;
                default:
                    throw Interpreter.Failed($"the format '%{format[index]}' is not supported or has no value");
            }
        }

        return output.ToString();
    }

    /// <summary><c>'{} {name}'.format(…)</c>, without format specifications.</summary>
    private static string Format(Interpreter interpreter, string format, CallArguments arguments)
    {
        var output = new StringBuilder();
        var next = 0;
        for (var index = 0; index < format.Length; index++)
        {
            var c = format[index];
            if (c is '{' or '}' && index + 1 < format.Length && format[index + 1] == c)
            {
                output.Append(c);
                index++;
            }
            else if (c == '{' && format.IndexOf('}', index) is > 0 and var close)
            {
                var field = format[(index + 1)..close];
                var position = field.Length == 0 ? next++ : int.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : int.MaxValue;
                output.Append(interpreter.ToText(arguments.Required(position, field)));
                if (output.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
                index = close;
            }
            else
            {
                output.Append(c);
            }
        }

        return output.ToString();
    }

    private static ListValue Partition(string text, CallArguments arguments, bool last)
    {
        var separator = arguments.Text(0, "sep");
        if (separator.Length == 0) throw arguments.Bad("needs a separator that is not empty");
        var found = last ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        if (found < 0) return new ListValue(last ? ["", "", text] : [text, "", ""], isTuple: true);
        return new ListValue([text[..found], separator, text[(found + separator.Length)..]], isTuple: true);
    }

    private static string? Separator(CallArguments arguments) => arguments.Get(0, "sep") is null ? null : arguments.Text(0, "sep");

    private static string? Characters(CallArguments arguments) => arguments.Get(0, "chars") is null ? null : arguments.Text(0, "chars");

    private static IEnumerable<string> Affixes(Interpreter interpreter, CallArguments arguments) =>
        arguments.Required(0, "prefix") is ListValue list ? list.Items.Select(interpreter.ToText) : [arguments.Text(0, "prefix")];

    private static int Width(CallArguments arguments)
    {
        var width = arguments.Int(0, "width", 0);
        return width <= TemplateLimits.MaxOutputLength / 16 ? Math.Max(0, width) : throw ValueOperations.TooLong();
    }

    private static long Count(Interpreter interpreter, string text, string part)
    {
        interpreter.Step(text.Length / 16);
        if (part.Length == 0) return text.Length + 1;
        var count = 0L;
        for (var position = 0; (position = text.IndexOf(part, position, StringComparison.Ordinal)) >= 0; position += part.Length) count++;
        return count;
    }

    private static object? Refuse(CallArguments arguments) => throw arguments.Bad("would change a value, which the sandbox forbids");
}

namespace Granary.Text.Templates;

/// <summary>What <c>|</c> can do to a value.</summary>
internal sealed partial class Interpreter
{
    private static readonly HashSet<string> FilterNames = new(StringComparer.Ordinal)
    {
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby",
        "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace",
        "reverse", "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique",
        "upper", "wordcount",
    };

    private object? ApplyFilter(string name, object? value, CallArguments arguments)
    {
        Step();
        switch (name)
        {
            case "safe": return new SafeText(ValueOperations.ToText(value));
            case "default" or "d":
                return value is UndefinedValue || (arguments.Flag(1, "boolean", false) && !ValueOperations.IsTrue(value)) ? arguments.Get(0, "default_value", "") : value;
            case "tojson": return ToJson(value, arguments);
            case "string": return ValueOperations.ToText(value);
            case "abs" or "round" or "int" or "float": return Number(name, value, arguments);
            case "attr": return value is UndefinedValue ? value : Attribute(value, arguments.Text(0, "name"));
            case "length" or "count": return Sequences.Length(value);
            case "items": return value is UndefinedValue ? new ListValue([]) : value is DictionaryValue dictionary ? Methods.Items(dictionary) : throw Failed($"'items' needs a dict, not {ValueOperations.TypeName(value)}");
            case "reverse" when value is string or SafeText:
                return string.Concat(ValueOperations.Items(value).Reverse());
        }

        if (TextFilter(name, value, arguments) is { } text) return text;
        return FilterNames.Contains(name) ? ListFilter(name, value, arguments) : throw Failed($"the filter '{name}' does not exist");
    }

    private object? TextFilter(string name, object? value, CallArguments arguments)
    {
        if (name is not ("upper" or "lower" or "capitalize" or "title" or "trim" or "replace" or "indent" or "truncate" or "wordcount" or "e" or "escape" or "center")) return null;
        var text = ValueOperations.ToText(value);
        Step(text.Length / 8);
        switch (name)
        {
            case "upper": return text.ToUpperInvariant();
            case "lower": return text.ToLowerInvariant();
            case "capitalize": return Text.Capitalize(text);
            case "title": return Text.JinjaTitle(text);
            case "trim": return Text.Trim(text, arguments.Get(0, "chars") is null ? null : arguments.Text(0, "chars"));
            case "replace": return Text.Replace(this, text, arguments.Text(0, "old"), arguments.Text(1, "new"), arguments.Long(2, "count", -1));
            case "indent":
                var width = arguments.Get(0, "width", 4L);
                var indent = width is long count ? new string(' ', (int)Math.Clamp(count, 0, 1000)) : ValueOperations.ToText(width);
                if (((long)text.AsSpan().Count('\n') + 1) * indent.Length + text.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
                return Text.Indent(text, indent, arguments.Flag(1, "first", false), arguments.Flag(2, "blank", false));
            case "truncate":
                return Text.Truncate(text, arguments.Int(0, "length", 255), arguments.Flag(1, "killwords", false), arguments.Text(2, "end", "..."), arguments.Int(3, "leeway", 5));
            case "wordcount": return (long)text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
            case "center":
                var total = Math.Clamp(arguments.Int(0, "width", 80), 0, 100_000);
                return text.Length >= total ? text : text.PadLeft(text.Length + ((total - text.Length) / 2)).PadRight(total);
            default: return new SafeText(Text.Escape(text));
        }
    }

    private static object? Number(string name, object? value, CallArguments arguments)
    {
        var known = ValueOperations.TryNumber(value, out var real, out var whole);
        switch (name)
        {
            case "abs" when known:
                return whole ? (object)Math.Abs(Math.Max(Arithmetic.Whole(value), -long.MaxValue)) : Math.Abs(real);
            case "round" when known:
                var scale = Math.Pow(10, arguments.Int(0, "precision", 0));
                return arguments.Text(1, "method", "common") switch
                {
                    "ceil" => Math.Ceiling(real * scale) / scale,
                    "floor" => Math.Floor(real * scale) / scale,
                    _ => Math.Round(real * scale, MidpointRounding.ToEven) / scale,
                };
            case "float":
                if (known) return real;
                return ValueOperations.TryText(value, out var text) && double.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out var parsed)
                    ? parsed
                    : arguments.Get(0, "default", 0.0);
            case "int":
                var otherwise = arguments.Get(0, "default", 0L);
                if (known) return whole ? Arithmetic.Whole(value) : double.IsFinite(real) && Math.Abs(real) < 9e18 ? (long)real : otherwise;
                return ValueOperations.TryText(value, out var digits) ? Text.ToInteger(digits, arguments.Int(1, "base", 10), otherwise!) : otherwise;
            default:
                throw Failed($"'{name}' needs a number, not {ValueOperations.TypeName(value)}");
        }
    }

    private string ToJson(object? value, CallArguments arguments)
    {
        var indent = arguments.Named.GetValueOrDefault("indent") ?? arguments.Get(1, "indent");
        var unit = indent switch
        {
            null => null,
            long width => new string(' ', (int)Math.Clamp(width, 0, 1000)),
            _ => ValueOperations.ToText(indent),
        };
        var (item, key) = (unit is null ? ", " : ",", ": ");
        if (arguments.Get(2, "separators") is ListValue { Items.Count: 2 } separators)
        {
            (item, key) = (ValueOperations.ToText(separators.Items[0]), ValueOperations.ToText(separators.Items[1]));
        }

        var text = new JsonText(unit, item, key, arguments.Flag(3, "sort_keys", false), arguments.Flag(0, "ensure_ascii", false)).Write(value);
        Step(text.Length / 4);
        return text;
    }
}

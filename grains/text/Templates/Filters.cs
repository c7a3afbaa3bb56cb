namespace Granary.Text.Templates;

/// <summary>What <c>|</c> can do to a value.</summary>
internal sealed partial class Interpreter
{
    private static readonly HashSet<string> FilterNames = new(StringComparer.Ordinal)
    {
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat", "first", "float",
        "forceescape", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "pprint",
        "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "sum", "title", "tojson",
        "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
    };

    /// <summary>What else Jinja has; for web pages, or not the same from one rendering to the next.</summary>
    private static readonly HashSet<string> RefusedFilters = new(StringComparer.Ordinal) { "random", "striptags", "urlize", "wordwrap", "xmlattr" };

    private object? ApplyFilter(string name, object? value, CallArguments arguments)
    {
        Step();
        switch (name)
        {
            case "safe": return new SafeText(ToText(value));
            case "default" or "d":
                return value is UndefinedValue || (arguments.Flag(1, "boolean", false) && !ValueOperations.IsTrue(value)) ? arguments.Get(0, "default_value", "") : value;
            case "tojson": return ToJson(value, arguments);
            case "pprint": return PrettyPrint(value);
            case "urlencode" when value is ListValue or DictionaryValue: return EncodeQuery(value);
            case "filesizeformat": return FileSize(value, arguments.Flag(0, "binary", false));
            case "format": return Methods.Percent(this, ToText(value), new ListValue(arguments.Positional, isTuple: true));
            case "string": return ToText(value);
            case "abs" or "round" or "int" or "float": return Number(name, value, arguments);
            case "attr": return value is UndefinedValue ? value : Attribute(value, arguments.Text(0, "name"));
            case "length" or "count": return Sequences.Length(value);
            case "items": return value is UndefinedValue ? new ListValue([]) : value is DictionaryValue dictionary ? Methods.Items(dictionary) : throw Failed($"'items' needs a dict, not {ValueOperations.TypeName(value)}");
            case "reverse" when value is string or SafeText:
                return string.Concat(ValueOperations.Items(value).Reverse());
        }

        if (TextFilter(name, value, arguments) is { } text) return text;
        if (FilterNames.Contains(name)) return ListFilter(name, value, arguments);
        throw Failed(RefusedFilters.Contains(name) ? $"the filter '{name}' is not supported" : $"the filter '{name}' does not exist");
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
            _ => ToText(indent),
        };
        var (item, key) = (unit is null ? ", " : ",", ": ");
        if (arguments.Get(2, "separators") is ListValue { Items.Count: 2 } separators)
        {
            (item, key) = (ToText(separators.Items[0]), ToText(separators.Items[1]));
        }

        var text = new JsonText(unit, item, key, arguments.Flag(3, "sort_keys", false), arguments.Flag(0, "ensure_ascii", false)).Write(value);
        Step(text.Length / 4);
        return text;
    }
}

using System.Globalization;

namespace Granary.Text.Templates;

/// <summary>The filters that make text.</summary>
internal sealed partial class Interpreter
{
    private object? TextFilter(string name, object? value, CallArguments arguments)
    {
        if (name is not ("upper" or "lower" or "capitalize" or "title" or "trim" or "replace" or "indent" or "truncate" or "wordcount" or "e" or "escape" or "forceescape" or "center" or "urlencode")) return null;
        var text = ToText(value);
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
                var indent = width is long count ? new string(' ', (int)Math.Clamp(count, 0, 1000)) : ToText(width);
                if (((long)text.AsSpan().Count('\n') + 1) * indent.Length + text.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
                return Text.Indent(text, indent, arguments.Flag(1, "first", false), arguments.Flag(2, "blank", false));
            case "truncate":
                return Text.Truncate(text, arguments.Int(0, "length", 255), arguments.Flag(1, "killwords", false), arguments.Text(2, "end", "..."), arguments.Int(3, "leeway", 5));
            case "wordcount": return (long)text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
            case "center":
                var total = Math.Clamp(arguments.Int(0, "width", 80), 0, 100_000);
                var padding = total - text.Length;
                return padding <= 0 ? text : text.PadLeft(text.Length + (padding / 2) + (padding & total & 1)).PadRight(total); // The odd blank goes where Python puts it.
            case "urlencode": return Text.UrlEncode(text, keep: '/');
            default: return new SafeText(Text.Escape(text));
        }
    }

    /// <summary>Pairs as the query of an address.</summary>
    private string EncodeQuery(object? value)
    {
        var pairs = value is DictionaryValue dictionary ? Methods.Items(dictionary).Items : ValueOperations.Items(value);
        return Methods.Join(this, [.. pairs.Select(pair => ValueOperations.Items(pair) is { Count: 2 } items
            ? (object?)$"{Part(items[0])}={Part(items[1])}"
            : throw Failed("'urlencode' needs pairs"))], "&");

        string Part(object? part) => Text.UrlEncode(ToText(part), keep: null).Replace("%20", "+", StringComparison.Ordinal);
    }

    private static string FileSize(object? value, bool binary)
    {
        if (!ValueOperations.TryNumber(value, out var bytes, out _)) throw Failed($"'filesizeformat' needs a number, not {ValueOperations.TypeName(value)}");
        var unit = binary ? 1024.0 : 1000.0;
        if (bytes == 1) return "1 Byte";
        if (bytes < unit) return string.Create(CultureInfo.InvariantCulture, $"{Math.Truncate(bytes):F0} Bytes");
        var power = 1;
        for (; power < 8 && bytes >= Math.Pow(unit, power + 1); power++) { }
        return string.Create(CultureInfo.InvariantCulture, $"{bytes / Math.Pow(unit, power):F1} {"kMGTPEZY"[power - 1]}{(binary ? "i" : "")}B").Replace("kiB", "KiB", StringComparison.Ordinal);
    }

    /// <summary>As Python's <c>pprint</c> writes what fits on one line; how it breaks lines is not followed.</summary>
    private string PrettyPrint(object? value)
    {
        const int Width = 80;
        Step(ValueOperations.Weight(value));
        var text = ValueOperations.ToSource(value);
        return text.Length <= Width ? text : throw Failed($"'pprint' writes one line of at most {Width} chars; use 'tojson' with an indent");
    }
}

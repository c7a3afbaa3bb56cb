using System.Globalization;
using System.Text;

namespace Granary.Text.Templates;

/// <summary>Python's string operations that filters and methods share.</summary>
internal static class Text
{
    public static bool IsUpper(string text) => text.Any(char.IsUpper) && !text.Any(char.IsLower);

    public static bool IsLower(string text) => text.Any(char.IsLower) && !text.Any(char.IsUpper);

    public static string Capitalize(string text) =>
        text.Length == 0 ? text : text[..1].ToUpperInvariant() + text[1..].ToLowerInvariant();

    public static string Title(string text)
    {
        var output = new StringBuilder(text.Length);
        var inWord = false;
        foreach (var c in text)
        {
            output.Append(inWord ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inWord = char.IsLetter(c);
        }

        return output.ToString();
    }

    /// <summary>Jinja's title filter begins words after blanks and brackets, not after apostrophes.</summary>
    public static string JinjaTitle(string text)
    {
        var output = new StringBuilder(text.Length);
        var inWord = false;
        foreach (var c in text)
        {
            output.Append(inWord ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inWord = !(char.IsWhiteSpace(c) || c is '-' or '(' or '{' or '[' or '<');
        }

        return output.ToString();
    }

    public static string Trim(string text, string? characters, bool start = true, bool end = true)
    {
        if (characters is "") return text; // An empty set would mean blanks to .NET.
        var set = characters?.ToCharArray();
        if (start) text = set is null ? text.TrimStart() : text.TrimStart(set);
        if (end) text = set is null ? text.TrimEnd() : text.TrimEnd(set);
        return text;
    }

    public static string Replace(Interpreter interpreter, string text, string old, string replacement, long count)
    {
        interpreter.Step(text.Length / 16);
        var output = new StringBuilder();
        var position = 0;
        if (old.Length == 0) throw Interpreter.Failed("'replace' needs a text to look for");
        for (; count != 0 && text.IndexOf(old, position, StringComparison.Ordinal) is >= 0 and var found; count--)
        {
            output.Append(text, position, found - position).Append(replacement);
            if (output.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
            position = found + old.Length;
        }

        return output.Append(text, position, text.Length - position).ToString();
    }

    public static ListValue Split(Interpreter interpreter, string text, string? separator, long most, bool fromRight)
    {
        interpreter.Step(text.Length / 4);
        var parts = new List<object?>();
        if (separator is { Length: 0 }) throw Interpreter.Failed("'split' needs a separator that is not empty");
        if (separator is null) SplitBlanks(text, most, fromRight, parts);
        else if (fromRight && most >= 0) SplitRight(text, separator, most, parts);
        else
        {
            var position = 0;
            for (; most != 0 && text.IndexOf(separator, position, StringComparison.Ordinal) is >= 0 and var found; most--)
            {
                parts.Add(text[position..found]);
                position = found + separator.Length;
            }

            parts.Add(text[position..]);
        }

        return new ListValue(parts);
    }

    private static void SplitRight(string text, string separator, long most, List<object?> parts)
    {
        var end = text.Length;
        for (; most > 0 && text.AsSpan(0, end).LastIndexOf(separator) is >= 0 and var found; most--)
        {
            parts.Add(text[(found + separator.Length)..end]);
            end = found;
        }

        parts.Add(text[..end]);
        parts.Reverse();
    }

    private static void SplitBlanks(string text, long most, bool fromRight, List<object?> parts)
    {
        var words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (most < 0 || words.Length <= most)
        {
            parts.AddRange(words);
            return;
        }

        var rest = text.AsSpan();
        if (fromRight)
        {
            for (var index = 0; index < most; index++)
            {
                rest = rest.TrimEnd();
                rest = rest[..^words[^(index + 1)].Length];
            }

            if (rest.TrimEnd() is { Length: > 0 } head) parts.Add(head.ToString());
            parts.AddRange(words[^(int)most..]);
            return;
        }

        for (var index = 0; index < most; index++)
        {
            rest = rest.TrimStart()[words[index].Length..];
            parts.Add(words[index]);
        }

        if (rest.TrimStart() is { Length: > 0 } tail) parts.Add(tail.ToString());
    }

    public static string Indent(string text, string indent, bool first, bool blank)
    {
        var lines = text.Split('\n');
        for (var index = 0; index < lines.Length; index++)
        {
            if (index == 0 ? first : blank || lines[index].Length > 0) lines[index] = indent + lines[index];
        }

        return string.Join('\n', lines);
    }

    public static string Truncate(string text, int length, bool killWords, string end, int leeway)
    {
        if (text.Length <= (long)length + leeway) return text;
        if (length < end.Length) throw Interpreter.Failed($"'truncate' needs a length of at least {end.Length}");
        var cut = text[..(length - end.Length)];
        if (!killWords && cut.LastIndexOf(' ') is >= 0 and var blank) cut = cut[..blank];
        return cut + end;
    }

    /// <summary>Percent-encodes all but letters, digits, <c>-._~</c> and <paramref name="keep"/>.</summary>
    public static string UrlEncode(string text, char? keep)
    {
        var encoded = Uri.EscapeDataString(text);
        return keep is { } kept ? encoded.Replace(Uri.HexEscape(kept), kept.ToString(), StringComparison.Ordinal) : encoded;
    }

    public static string Escape(string text) => text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);

    public static object ToInteger(string text, int radix, object otherwise)
    {
        text = text.Trim().Replace("_", "", StringComparison.Ordinal);
        if (radix == 10) return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) ? whole
            : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) && Math.Abs(real) < 9e18 ? (long)real : otherwise;

        var negative = text.StartsWith('-');
        var digits = text.TrimStart('-', '+').ToLowerInvariant();
        var prefix = radix switch { 16 => "0x", 8 => "0o", 2 => "0b", _ => "" };
        if (prefix.Length > 0 && digits.StartsWith(prefix, StringComparison.Ordinal)) digits = digits[2..];
        if (digits.Length == 0) return otherwise;
        var result = 0L;
        foreach (var c in digits)
        {
            var digit = char.IsAsciiDigit(c) ? c - '0' : char.IsAsciiLetterLower(c) ? c - 'a' + 10 : int.MaxValue;
            if (digit >= radix || result > (long.MaxValue - digit) / radix) return otherwise;
            result = (result * radix) + digit;
        }

        return negative ? -result : result;
    }
}

using System.Globalization;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>Rewrites the regular expressions of tokenizer files (Oniguruma's syntax) for .NET.</summary>
internal static class OnigurumaSyntax
{
    private static readonly Dictionary<string, string> Scripts = new(StringComparer.Ordinal)
    {
        ["Han"] = @"\u2E80-\u2FDF\u3005\u3007\u3021-\u3029\u3038-\u303B\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF",
        ["Hiragana"] = @"\u3041-\u3096\u309D-\u309F",
        ["Katakana"] = @"\u30A1-\u30FA\u30FD-\u30FF\u31F0-\u31FF\uFF66-\uFF6F\uFF71-\uFF9D",
        ["Hangul"] = @"\u1100-\u11FF\u302E\u302F\u3131-\u318E\uA960-\uA97C\uAC00-\uD7A3\uD7B0-\uD7FB",
    };

    /// <exception cref="ArgumentException">The expression uses what has no counterpart.</exception>
    public static string Translate(string source)
    {
        var output = new StringBuilder(source.Length + 16);
        var groups = new Stack<int>(); // Where each open group began in the output.
        var atom = 0;                  // Where the last complete atom began in the output.
        for (var index = 0; index < source.Length;)
        {
            var c = source[index];
            switch (c)
            {
                case '\\':
                    atom = output.Length;
                    index = Escape(source, index, output, inClass: false);
                    break;
                case '[':
                    atom = output.Length;
                    index = Class(source, index, output);
                    break;
                case '(':
                    groups.Push(output.Length);
                    output.Append(c);
                    index++;
                    break;
                case ')':
                    atom = groups.Count > 0 ? groups.Pop() : throw new ArgumentException("a ')' has no '('");
                    output.Append(c);
                    index++;
                    break;
                case '?' or '*' or '+' when output.Length > 0 && output[^1] != '(':
                    output.Append(c);
                    index++;
                    index = Suffix(source, index, output, atom);
                    break;
                default:
                    atom = output.Length;
                    if (c == '{') atom = -1; // A counted quantifier; Oniguruma has no possessive form of it.
                    output.Append(c);
                    index++;
                    break;
            }
        }

        return output.ToString();
    }

    /// <summary>After a quantifier: <c>?</c> makes it lazy in both; <c>+</c> makes it possessive, in .NET an atomic group.</summary>
    private static int Suffix(string source, int index, StringBuilder output, int atom)
    {
        if (index >= source.Length) return index;
        if (source[index] == '?')
        {
            output.Append('?');
            return index + 1;
        }

        if (source[index] != '+') return index;
        if (atom < 0) throw new ArgumentException("a possessive quantifier has no operand");
        output.Insert(atom, "(?>").Append(')');
        return index + 1;
    }

    private static int Class(string source, int index, StringBuilder output)
    {
        output.Append(source[index++]);
        if (index < source.Length && source[index] == '^') output.Append(source[index++]);
        if (index < source.Length && source[index] == ']')
        {
            output.Append(@"\]");
            index++;
        }

        while (index < source.Length && source[index] != ']')
        {
            if (source[index] == '[') throw new ArgumentException("a character class holds another");
            if (source[index] == '&' && index + 1 < source.Length && source[index + 1] == '&') throw new ArgumentException("a character class holds an intersection");
            if (source[index] == '\\') index = Escape(source, index, output, inClass: true);
            else output.Append(source[index++]);
        }

        if (index >= source.Length) throw new ArgumentException("a character class is not closed");
        output.Append(']');
        return index + 1;
    }

    private static int Escape(string source, int index, StringBuilder output, bool inClass)
    {
        if (index + 1 >= source.Length) throw new ArgumentException("the expression ends in a backslash");
        var c = source[index + 1];
        if (c is 'h' or 'H')
        {
            if (inClass && c == 'H') throw new ArgumentException(@"\H stands in a character class");
            output.Append(inClass ? "0-9a-fA-F" : c == 'h' ? "[0-9a-fA-F]" : "[^0-9a-fA-F]");
            return index + 2;
        }

        if (c is 'p' or 'P' && Braced(source, index + 2) is { } name)
        {
            var negated = (c == 'P') != name.StartsWith('^');
            var bare = name.TrimStart('^');
            if (!Scripts.TryGetValue(bare, out var ranges))
            {
                output.Append(negated ? @"\P{" : @"\p{").Append(bare).Append('}');
            }
            else
            {
                if (inClass && negated) throw new ArgumentException($@"\P{{{bare}}} stands in a character class");
                output.Append(inClass ? ranges : $"[{(negated ? "^" : "")}{ranges}]");
            }

            return index + 4 + name.Length;
        }

        if (c == 'x' && Braced(source, index + 2) is { } hex)
        {
            if (!int.TryParse(hex, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var code) || code > 0xFFFF)
            {
                throw new ArgumentException($@"\x{{{hex}}} is beyond U+FFFF");
            }

            output.Append(@"\u").Append(code.ToString("X4", CultureInfo.InvariantCulture));
            return index + 4 + hex.Length;
        }

        output.Append('\\').Append(c);
        return index + 2;
    }

    private static string? Braced(string source, int index)
    {
        if (index >= source.Length || source[index] != '{') return null;
        var end = source.IndexOf('}', index);
        return end < 0 ? throw new ArgumentException("a '{' is not closed") : source[(index + 1)..end];
    }
}

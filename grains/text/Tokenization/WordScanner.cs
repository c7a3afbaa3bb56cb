using System.Globalization;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>The well-known word patterns of GPT-2, Llama 3 and Qwen by hand: linear, and several times faster than the expression.</summary>
/// <param name="legacy">GPT-2: case-sensitive contractions, unlimited digits with a leading space, line ends not apart.</param>
/// <param name="maxDigits">Most digits in one word; not used by <paramref name="legacy"/>.</param>
internal sealed class WordScanner(bool legacy, int maxDigits)
{
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    public const string Gpt2Ordered = @"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    public const string Llama3 = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    public const string Qwen = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private enum Kind { Letter, Digit, Space, Other }

    public static WordScanner? TryCreate(string expression) => expression switch
    {
        Gpt2 or Gpt2Ordered => new WordScanner(legacy: true, int.MaxValue),
        Llama3 => new WordScanner(legacy: false, 3),
        Qwen => new WordScanner(legacy: false, 1),
        _ => null,
    };

    /// <summary>Length of the word that begins <paramref name="text"/>, which must not be empty; every char belongs to some word.</summary>
    public int NextLength(ReadOnlySpan<char> text)
    {
        var first = text[0];
        if (first == '\'' && Contraction(text) is > 0 and var contraction) return contraction;
        var kind = KindAt(text, 0, out var width);

        if (kind == Kind.Letter) return Run(text, width, Kind.Letter);
        if (!legacy && first is not ('\r' or '\n') && kind != Kind.Digit && width < text.Length && KindAt(text, width, out var second) == Kind.Letter)
        {
            return Run(text, width + second, Kind.Letter);
        }

        if (kind == Kind.Digit) return legacy ? Run(text, width, Kind.Digit) : Digits(text);
        if (kind == Kind.Other) return Punctuation(text, width);
        if (first == ' ' && text.Length > 1)
        {
            var next = KindAt(text, 1, out var nextWidth);
            if (next == Kind.Other) return Punctuation(text, 1 + nextWidth);
            if (legacy && next != Kind.Space) return Run(text, 1 + nextWidth, next);
        }

        return Spaces(text);
    }

    private int Punctuation(ReadOnlySpan<char> text, int from)
    {
        var end = Run(text, from, Kind.Other);
        if (legacy) return end;
        while (end < text.Length && text[end] is '\r' or '\n') end++;
        return end;
    }

    private int Digits(ReadOnlySpan<char> text)
    {
        var end = 0;
        for (var count = 0; count < maxDigits && end < text.Length && KindAt(text, end, out var width) == Kind.Digit; count++) end += width;
        return end;
    }

    private int Spaces(ReadOnlySpan<char> text)
    {
        var end = 0;
        var lineEnd = 0; // Just past the last line end of the run.
        while (end < text.Length && char.IsWhiteSpace(text[end]))
        {
            if (text[end++] is '\r' or '\n') lineEnd = end;
        }

        if (!legacy && lineEnd > 0) return lineEnd;
        return end < text.Length && end > 1 ? end - 1 : end; // The last blank goes with the word that follows.
    }

    private int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2) return 0;
        var second = Fold(text[1]);
        if (second is 's' or 't' or 'm' or 'd') return 2;
        if (text.Length < 3) return 0;
        var third = Fold(text[2]);
        return (second, third) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    /// <summary>Without regard to case where the pattern says so; the long s folds to s, as it does in Unicode.</summary>
    private char Fold(char c) => legacy ? c : c == '\u017F' ? 's' : char.ToLowerInvariant(c);

    private static int Run(ReadOnlySpan<char> text, int from, Kind kind)
    {
        while (from < text.Length && KindAt(text, from, out var width) == kind) from += width;
        return from;
    }

    private static Kind KindAt(ReadOnlySpan<char> text, int index, out int width)
    {
        var c = text[index];
        width = 1;
        if (char.IsAscii(c))
        {
            return char.IsAsciiLetter(c) ? Kind.Letter : char.IsAsciiDigit(c) ? Kind.Digit : c is ' ' or (>= '\t' and <= '\r') ? Kind.Space : Kind.Other;
        }

        if (char.IsWhiteSpace(c)) return Kind.Space;
        Rune.DecodeFromUtf16(text[index..], out var rune, out width);
        return Rune.GetUnicodeCategory(rune) switch
        {
            <= UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Digit,
            _ => Kind.Other,
        };
    }
}

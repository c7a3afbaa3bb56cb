using System.Text.RegularExpressions;

namespace Granary.Text.Tokenization;

/// <summary>A literal or a regular expression of a tokenizer file: finds its matches in a text, left to right.</summary>
internal abstract class TokenizerPattern
{
    /// <summary>Longest one search may take before it is given up; only an expression that backtracks comes near it.</summary>
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(10);

    /// <summary>The scanner that finds this pattern's matches, where there is one; they cover the whole text.</summary>
    public virtual WordScanner? Scanner => null;

    /// <summary>Adds start and length of every match in <paramref name="text"/>.</summary>
    public abstract void FindAll(string text, int start, int length, List<(int Start, int Length)> matches);

    public virtual string Replace(string text, string content)
    {
        var matches = new List<(int Start, int Length)>();
        FindAll(text, 0, text.Length, matches);
        if (matches.Count == 0) return text;
        var result = new System.Text.StringBuilder(text.Length);
        var position = 0;
        foreach (var (start, length) in matches)
        {
            result.Append(text, position, start - position).Append(content);
            position = start + length;
        }

        return result.Append(text, position, text.Length - position).ToString();
    }

    public static TokenizerPattern Read(TokenizerJson json)
    {
        if (json.OptionalString("String") is { } literal)
        {
            return literal.Length > 0 ? new Literal(literal) : throw json.Bad("is an empty pattern");
        }

        var source = json.String("Regex");
        return WordScanner.TryCreate(source) is { } scanner ? new Scanned(scanner) : FromRegex(source, json);
    }

    /// <summary>The expression as .NET runs it: without backtracking where it can, else with a time limit.</summary>
    internal static TokenizerPattern FromRegex(string source, TokenizerJson json)
    {
        const RegexOptions Options = RegexOptions.CultureInvariant | RegexOptions.Multiline;
        try
        {
            var translated = OnigurumaSyntax.Translate(source);
            try
            {
                return new Expression(new Regex(translated, Options | RegexOptions.NonBacktracking, MatchTimeout));
            }
            catch (NotSupportedException)
            {
                // Look-around and atomic groups need the backtracking engine; the time limit bounds it.
                return new Expression(new Regex(translated, Options | RegexOptions.Compiled, MatchTimeout));
            }
        }
        catch (ArgumentException exception)
        {
            throw new TokenizerException(json.Bad($"has a regular expression that is not supported ({exception.Message})").Message, exception);
        }
    }

    private sealed class Literal(string literal) : TokenizerPattern
    {
        public override string Replace(string text, string content) => text.Replace(literal, content, StringComparison.Ordinal);

        public override void FindAll(string text, int start, int length, List<(int Start, int Length)> matches)
        {
            var end = start + length;
            while (start < end && text.IndexOf(literal, start, end - start, StringComparison.Ordinal) is >= 0 and var found)
            {
                matches.Add((found, literal.Length));
                start = found + literal.Length;
            }
        }
    }

    private sealed class Scanned(WordScanner scanner) : TokenizerPattern
    {
        public override WordScanner? Scanner => scanner;

        public override void FindAll(string text, int start, int length, List<(int Start, int Length)> matches)
        {
            var span = text.AsSpan(start, length);
            for (var position = 0; position < span.Length;)
            {
                var taken = scanner.NextLength(span[position..]);
                matches.Add((start + position, taken));
                position += taken;
            }
        }
    }

    private sealed class Expression(Regex regex) : TokenizerPattern
    {
        public override void FindAll(string text, int start, int length, List<(int Start, int Length)> matches)
        {
            var shadow = AstralShadow.Of(text.AsSpan(start, length), out var offsets);
            try
            {
                foreach (var match in regex.EnumerateMatches(shadow))
                {
                    if (match.Length == 0) continue;
                    var first = offsets is null ? match.Index : offsets[match.Index];
                    var last = offsets is null ? match.Index + match.Length : offsets[match.Index + match.Length];
                    matches.Add((start + first, last - first));
                }
            }
            catch (RegexMatchTimeoutException exception)
            {
                throw new TokenizerException($"A pattern of the tokenizer took longer than {MatchTimeout.TotalSeconds:0} s on {length} chars.", exception);
            }
        }
    }
}

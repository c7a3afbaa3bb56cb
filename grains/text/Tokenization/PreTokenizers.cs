using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>A stretch of a text that later steps cut further or the model encodes whole.</summary>
internal readonly record struct Piece(string Text, int Start, int Length)
{
    public ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);
}

/// <summary>One step that cuts pieces of a text into smaller ones; a few also rewrite them.</summary>
internal abstract class PreTokenizer
{
    /// <param name="atStart">Whether the piece stands at the very start of what the caller passed in.</param>
    public abstract void Apply(Piece piece, bool atStart, List<Piece> output);

    /// <summary>The steps in order, and whether the model is to read words as bytes (the last step is byte-level).</summary>
    public static List<PreTokenizer> Read(TokenizerJson? source, out bool byteLevel)
    {
        var steps = new List<PreTokenizer>();
        byteLevel = false;
        if (source is { } json) Read(json, steps, ref byteLevel);
        return steps;
    }

    /// <summary>The steps of GPT-2, whose files name none.</summary>
    public static List<PreTokenizer> Gpt2() => [new Words(WordScanner.TryCreate(WordScanner.Gpt2)!)];

    private static void Read(TokenizerJson json, List<PreTokenizer> steps, ref bool byteLevel)
    {
        if (byteLevel) throw json.Bad("follows a byte-level step, which is supported only at the end");
        switch (json.Type)
        {
            case "Sequence":
                foreach (var item in json.Items("pretokenizers")) Read(item, steps, ref byteLevel);
                break;
            case "Split":
                steps.Add(ReadSplit(json));
                break;
            case "ByteLevel":
                if (json.Flag("add_prefix_space", true)) steps.Add(new PrefixSpace());
                if (json.Flag("use_regex", true)) steps.Add(new Words(WordScanner.TryCreate(WordScanner.Gpt2)!));
                byteLevel = true;
                break;
            case "Digits":
                steps.Add(new Classes(rune => Rune.IsNumber(rune), json.Flag("individual_digits", false) ? Behavior.Isolated : Behavior.Contiguous));
                break;
            case "Punctuation":
                steps.Add(new Classes(IsPunctuation, json.Child("behavior") is null ? Behavior.Isolated : ReadBehavior(json)));
                break;
            case "Whitespace":
                // The classes are what a word character is to the expressions of tokenizer files; to .NET it is less.
                steps.Add(new Split(TokenizerPattern.FromRegex(@"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}]+|[^\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\s]+", json), Behavior.Removed, invert: true));
                break;
            case "CharDelimiterSplit":
                var delimiter = json.String("delimiter");
                if (Rune.DecodeFromUtf16(delimiter, out var rune, out var length) != System.Buffers.OperationStatus.Done || length != delimiter.Length) throw json.Bad("has a delimiter that is not one character");
                steps.Add(new Classes(candidate => candidate == rune, Behavior.Removed));
                break;
            case "WhitespaceSplit":
                steps.Add(new Classes(Rune.IsWhiteSpace, Behavior.Removed));
                break;
            case "Metaspace":
                steps.Add(Metaspace.Read(json));
                break;
            default:
                throw json.Bad($"has the pre-tokenizer type '{json.Type}', which is not supported");
        }
    }

    private static PreTokenizer ReadSplit(TokenizerJson json)
    {
        var pattern = TokenizerPattern.Read(json.Required("pattern"));
        var (behavior, invert) = (ReadBehavior(json), json.Flag("invert", false));
        return behavior == Behavior.Isolated && pattern.Scanner is { } scanner ? new Words(scanner) : new Split(pattern, behavior, invert);
    }

    private static Behavior ReadBehavior(TokenizerJson json)
    {
        var name = json.String("behavior");
        return Enum.TryParse<Behavior>(name, out var behavior) && Enum.IsDefined(behavior)
            ? behavior
            : throw json.Bad($"has the behavior '{name}', which is not supported");
    }

    private static bool IsPunctuation(Rune rune) =>
        Rune.IsPunctuation(rune) || (rune.IsAscii && (Rune.IsSymbol(rune) || Rune.IsPunctuation(rune)));

    /// <summary>What becomes of the text that a delimiter pattern matched.</summary>
    internal enum Behavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous }

    /// <summary>Cuts a piece along a list of stretches that cover it, each a delimiter or not.</summary>
    private static void Cut(Piece piece, List<(int Start, int Length, bool Match)> parts, Behavior behavior, List<Piece> output)
    {
        var pendingStart = -1;
        var pendingEnd = -1;
        var previousMatch = false;
        foreach (var (start, length, match) in parts)
        {
            if (length == 0) continue;
            var joins = pendingStart >= 0 && behavior switch
            {
                Behavior.MergedWithPrevious => match && !previousMatch,
                Behavior.MergedWithNext => previousMatch && !match,
                Behavior.Contiguous => match == previousMatch,
                _ => false,
            };
            if (!joins && pendingStart >= 0) output.Add(piece with { Start = pendingStart, Length = pendingEnd - pendingStart });
            if (behavior == Behavior.Removed && match)
            {
                pendingStart = -1;
            }
            else
            {
                if (!joins) pendingStart = start;
                pendingEnd = start + length;
            }

            previousMatch = match;
        }

        if (pendingStart >= 0) output.Add(piece with { Start = pendingStart, Length = pendingEnd - pendingStart });
    }

    private sealed class Words(WordScanner scanner) : PreTokenizer
    {
        public override void Apply(Piece piece, bool atStart, List<Piece> output)
        {
            for (var position = 0; position < piece.Length;)
            {
                var length = scanner.NextLength(piece.Span[position..]);
                output.Add(piece with { Start = piece.Start + position, Length = length });
                position += length;
            }
        }
    }

    private sealed class Split(TokenizerPattern pattern, Behavior behavior, bool invert) : PreTokenizer
    {
        public override void Apply(Piece piece, bool atStart, List<Piece> output)
        {
            var matches = new List<(int Start, int Length)>();
            pattern.FindAll(piece.Text, piece.Start, piece.Length, matches);
            var parts = new List<(int, int, bool)>((matches.Count * 2) + 1);
            var position = piece.Start;
            foreach (var (start, length) in matches)
            {
                parts.Add((position, start - position, invert));
                parts.Add((start, length, !invert));
                position = start + length;
            }

            parts.Add((position, piece.Start + piece.Length - position, invert));
            Cut(piece, parts, behavior, output);
        }
    }

    /// <summary>Every character of a class is a delimiter of its own.</summary>
    private sealed class Classes(Func<Rune, bool> isDelimiter, Behavior behavior) : PreTokenizer
    {
        public override void Apply(Piece piece, bool atStart, List<Piece> output)
        {
            var parts = new List<(int Start, int Length, bool Match)>();
            var position = piece.Start;
            foreach (var rune in piece.Span.EnumerateRunes())
            {
                var match = isDelimiter(rune);
                var length = rune.Utf16SequenceLength;
                if (!match && parts.Count > 0 && !parts[^1].Match) parts[^1] = parts[^1] with { Length = parts[^1].Length + length };
                else parts.Add((position, length, match));
                position += length;
            }

            Cut(piece, parts, behavior, output);
        }
    }

    private sealed class PrefixSpace : PreTokenizer
    {
        public override void Apply(Piece piece, bool atStart, List<Piece> output)
        {
            if (piece.Length > 0 && !char.IsWhiteSpace(piece.Span[0])) piece = new Piece($" {piece.Span}", 0, piece.Length + 1);
            output.Add(piece);
        }
    }

    /// <summary>SentencePiece's spaces: each becomes a visible mark, and a word begins at each mark.</summary>
    private sealed class Metaspace(char mark, string prepend, bool split) : PreTokenizer
    {
        public static Metaspace Read(TokenizerJson json)
        {
            var mark = json.OptionalString("replacement") ?? "\u2581";
            if (mark.Length != 1) throw json.Bad("has a replacement that is not one character");
            var scheme = json.OptionalString("prepend_scheme") ?? (json.Flag("add_prefix_space", true) ? "always" : "never");
            if (scheme is not ("always" or "first" or "never")) throw json.Bad($"has the prepend_scheme '{scheme}', which is not supported");
            return new Metaspace(mark[0], scheme, json.Flag("split", true));
        }

        public override void Apply(Piece piece, bool atStart, List<Piece> output)
        {
            if (piece.Length == 0) return;
            var text = piece.Span.ToString().Replace(' ', mark);
            if (text[0] != mark && (prepend == "always" || (prepend == "first" && atStart))) text = mark + text;
            if (!split)
            {
                output.Add(new Piece(text, 0, text.Length));
                return;
            }

            for (var start = 0; start < text.Length;)
            {
                var next = text.IndexOf(mark, start + 1);
                if (next < 0) next = text.Length;
                output.Add(new Piece(text, start, next - start));
                start = next;
            }
        }
    }
}

using System.Buffers;

namespace Granary.Text.Tokenization;

/// <summary>A token that is recognised in the text before anything else cuts it.</summary>
internal sealed record AddedToken(int Id, string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special);

/// <summary>Finds added tokens: the leftmost, and of those the longest.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<string, AddedToken> _byContent = new(StringComparer.Ordinal);
    private readonly Dictionary<string, AddedToken>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly SearchValues<string> _search;
    private readonly int[] _lengths;

    public AddedTokens(IEnumerable<(string Content, AddedToken Token)> tokens)
    {
        foreach (var (content, token) in tokens)
        {
            if (content.Length > 0) _byContent[content] = token;
        }

        _lookup = _byContent.GetAlternateLookup<ReadOnlySpan<char>>();
        _search = SearchValues.Create([.. _byContent.Keys], StringComparison.Ordinal);
        _lengths = [.. _byContent.Keys.Select(content => content.Length).Distinct().OrderDescending()];
    }

    /// <summary>Cuts the piece into stretches of its text; those with a token are encoded already.</summary>
    public void Split(Piece piece, List<(int Start, int Length, AddedToken? Token)> output)
    {
        var text = piece.Text.AsSpan(0, piece.Start + piece.Length);
        var done = piece.Start;
        for (var position = done; position < text.Length;)
        {
            var found = _byContent.Count == 0 ? -1 : text[position..].IndexOfAny(_search);
            if (found < 0) break;
            var start = position + found;
            var token = LongestAt(text[start..], out var length);
            var end = start + length;
            position = end;
            if (token.SingleWord && (IsWord(text, start - 1, piece.Start) || IsWord(text, end, piece.Start))) continue;

            if (token.LeftStrip)
            {
                while (start > done && char.IsWhiteSpace(text[start - 1])) start--;
            }

            if (token.RightStrip)
            {
                while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
                position = end;
            }

            if (start > done) output.Add((done, start - done, null));
            output.Add((start, end - start, token));
            done = end;
        }

        if (done < text.Length) output.Add((done, text.Length - done, null));
    }

    private AddedToken LongestAt(ReadOnlySpan<char> text, out int length)
    {
        foreach (var candidate in _lengths)
        {
            if (candidate <= text.Length && _lookup.TryGetValue(text[..candidate], out var token))
            {
                length = candidate;
                return token;
            }
        }

        throw new InvalidOperationException("The search found an added token that the table lacks.");
    }

    private static bool IsWord(ReadOnlySpan<char> text, int index, int from) =>
        index >= from && index < text.Length && (char.IsLetterOrDigit(text[index]) || text[index] == '_');
}

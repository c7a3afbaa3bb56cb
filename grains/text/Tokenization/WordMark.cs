namespace Granary.Text.Tokenization;

/// <summary>Finds out whether a SentencePiece vocabulary lets its text be cut before each run of space marks.</summary>
internal static class WordMark
{
    private const char Mark = '\u2581';

    /// <summary>The mark, if it is a token and no merge joins something else to a mark on its right; otherwise null.</summary>
    public static char? Find(TokenizerParts parts)
    {
        if (!parts.Vocabulary.ContainsKey(Mark.ToString())) return null;
        var text = parts.Vocabulary.ToDictionary(entry => entry.Value, entry => entry.Key);
        foreach (var pair in parts.Merges.Keys)
        {
            var left = text[pair.Left];
            var right = text[pair.Right];
            if (left[^1] != Mark && right[0] == Mark) return null;
        }

        return Mark;
    }
}

using Microsoft.ML.Tokenizers;

namespace Granary.Text.Tokenization;

/// <summary>Microsoft.ML.Tokenizers as the merger of short byte-level words.</summary>
/// <remarks>
/// It takes what it does as exactly and as fast as is needed: words that the cache remembers, of vocabularies that hold
/// every byte, as long as <see cref="LibraryShare"/> lets it. It has no byte fallback, takes time in the square of a
/// word's length, and allocates for each word, so all else is merged by <see cref="BpeMerger"/>; the ids are the same.
/// </remarks>
internal sealed class LibraryMerger
{
    private readonly BpeTokenizer _tokenizer;

    private LibraryMerger(BpeTokenizer tokenizer) => _tokenizer = tokenizer;

    /// <summary>The library with this vocabulary, or null where it could not say the vocabulary or would give other ids.</summary>
    public static LibraryMerger? TryCreate(Dictionary<string, int> vocabulary, Dictionary<TokenPair, Merge> merges)
    {
        for (var value = 0; value < 256; value++)
        {
            if (!vocabulary.ContainsKey(ByteLevelAlphabet.ToChar((byte)value).ToString())) return null;
        }

        var texts = new Dictionary<int, string>(vocabulary.Count);
        foreach (var (text, id) in vocabulary)
        {
            if (!texts.TryAdd(id, text)) return null; // It wants one text an id.
        }

        var lines = new string[merges.Count];
        var ordered = 0;
        foreach (var (pair, _) in merges.OrderBy(entry => entry.Value.Rank))
        {
            var (left, right) = (texts[pair.Left], texts[pair.Right]);
            if (left.Contains(' ') || right.Contains(' ')) return null; // It reads a merge as two words.
            lines[ordered++] = $"{left} {right}";
        }

        return new LibraryMerger(BpeTokenizer.Create(new BpeOptions(vocabulary) { Merges = lines, ByteLevel = true }));
    }

    /// <summary>Writes the ids of one word, which is not empty and well-formed, and returns how many they are.</summary>
    public int Encode(ReadOnlySpan<char> word, Span<int> ids)
    {
        var result = _tokenizer.EncodeToIds(word, considerPreTokenization: false, considerNormalization: false);
        var count = result.Count;
        for (var index = 0; index < count; index++) ids[index] = result[index];
        return count;
    }
}

/// <summary>How much of one text the library may merge.</summary>
/// <remarks>
/// Ordinary text repeats its words, so few reach a merger. Text that does not repeat any would run at the library's
/// speed; it is let do an eighth of what was read, and the beginning of a text, which is new in any language.
/// </remarks>
internal struct LibraryShare
{
    /// <summary>Chars at the start of a text that may all be new words of the library.</summary>
    public const int Beginning = 4096;

    /// <summary>After it, one char in so many.</summary>
    public const int OneIn = 8;

    private long _read;
    private long _given;

    /// <summary>Counts a word that needs no merging.</summary>
    public void Skip(int length) => _read += length;

    /// <summary>Counts a word that needs merging, and says whether the library may do it.</summary>
    public bool TryTake(int length)
    {
        _read += length;
        if (_given + length > Beginning + (_read / OneIn)) return false;
        _given += length;
        return true;
    }
}

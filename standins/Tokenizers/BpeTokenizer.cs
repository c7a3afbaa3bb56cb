namespace Microsoft.ML.Tokenizers;

/// <summary>Byte-pair encoding of single words.</summary>
public sealed class BpeTokenizer : Tokenizer
{
    private readonly Dictionary<(int Left, int Right), (int Rank, int Id)> _merges = [];
    private readonly int[] _idOfByte = new int[256];

    private BpeTokenizer(BpeOptions options)
    {
        if (!options.ByteLevel) throw new NotSupportedException("The stand-in takes byte-level vocabularies only.");
        var vocabulary = new Dictionary<string, int>(options.Vocabulary, StringComparer.Ordinal);
        if (vocabulary.Count == 0) throw new InvalidOperationException("The vocabulary cannot be empty.");

        var next = 256; // Bytes that do not print in Latin-1 take the code points from U+0100, in order.
        for (var value = 0; value < 256; value++)
        {
            var prints = value is > 0x20 and < 0x7F or > 0xA0 and not 0xAD;
            var symbol = (char)(prints ? value : next++);
            _idOfByte[value] = vocabulary.GetValueOrDefault(symbol.ToString(), -1);
        }

        var rank = 0;
        foreach (var merge in options.Merges ?? [])
        {
            var parts = merge.Split(' ');
            if (parts.Length != 2) throw new InvalidOperationException($"The merge '{merge}' is not two tokens.");
            _merges.Add((IdOf(parts[0]), IdOf(parts[1])), (rank++, IdOf(parts[0] + parts[1])));
        }

        int IdOf(string token) => vocabulary.TryGetValue(token, out var id)
            ? id
            : throw new InvalidOperationException($"A merge needs the token '{token}', which the vocabulary lacks.");
    }

    /// <exception cref="InvalidOperationException">The vocabulary is empty, or a merge is malformed or needs a token that the vocabulary lacks.</exception>
    /// <exception cref="ArgumentException">A pair is listed twice.</exception>
    public static BpeTokenizer Create(BpeOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new BpeTokenizer(options);
    }

    /// <summary>Merges the pair of lowest rank, the leftmost of several, until no pair has one.</summary>
    private protected override List<int> EncodeWord(ReadOnlySpan<char> word)
    {
        var ids = new List<int>(word.Length);
        Span<byte> bytes = stackalloc byte[4];
        foreach (var rune in word.EnumerateRunes())
        {
            foreach (var value in bytes[..rune.EncodeToUtf8(bytes)])
            {
                if (_idOfByte[value] >= 0) ids.Add(_idOfByte[value]); // Without an unknown token, what is unknown is left out.
            }
        }

        while (true)
        {
            var (best, lowest, merged) = (-1, int.MaxValue, 0);
            for (var index = 0; index + 1 < ids.Count; index++)
            {
                if (_merges.TryGetValue((ids[index], ids[index + 1]), out var merge) && merge.Rank < lowest) (best, lowest, merged) = (index, merge.Rank, merge.Id);
            }

            if (best < 0) return ids;
            ids[best] = merged;
            ids.RemoveAt(best + 1);
        }
    }
}

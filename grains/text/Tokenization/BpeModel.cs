using System.Buffers;
using System.Globalization;
using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>Vocabulary and merges of a byte-pair encoding: one word in, its ids out.</summary>
/// <remarks>Immutable but for its word cache, so one instance serves all threads.</remarks>
internal sealed class BpeModel
{
    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _byText;
    private readonly BpeMerger _merger;
    private readonly WordCache _cache = new();
    private readonly int[] _byteLevelIds = new int[256];
    private readonly int[]? _fallbackIds;
    private readonly int _unknownId;
    private readonly bool _fuseUnknown;
    private readonly bool _ignoreMerges;
    private readonly bool _byteLevel;

    public BpeModel(
        Dictionary<string, int> vocabulary, Dictionary<TokenPair, Merge> merges, string? unknownToken,
        bool byteFallback, bool fuseUnknown, bool ignoreMerges, bool byteLevel)
    {
        _vocabulary = vocabulary;
        _byText = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        _merger = new BpeMerger(merges);
        _unknownId = unknownToken is not null && vocabulary.TryGetValue(unknownToken, out var unknown) ? unknown : -1;
        _fuseUnknown = fuseUnknown;
        _ignoreMerges = ignoreMerges;
        _byteLevel = byteLevel;

        for (var value = 0; value < 256; value++)
        {
            _byteLevelIds[value] = vocabulary.GetValueOrDefault(ByteLevelAlphabet.ToChar((byte)value).ToString(), -1);
        }

        if (byteFallback)
        {
            _fallbackIds = new int[256];
            for (var value = 0; value < 256; value++)
            {
                _fallbackIds[value] = vocabulary.GetValueOrDefault($"<0x{value.ToString("X2", CultureInfo.InvariantCulture)}>", -1);
            }
        }
    }

    /// <summary>Appends the ids of one pre-tokenized word, which must be well-formed UTF-16.</summary>
    public void Encode(ReadOnlySpan<char> word, IdList output)
    {
        if (word.IsEmpty) return;
        var remember = word.Length <= WordCache.MaxWordLength;
        if (remember && _cache.TryGet(word, out var known))
        {
            output.Append(known);
            return;
        }

        var most = Encoding.UTF8.GetMaxByteCount(word.Length);
        var rented = ArrayPool<int>.Shared.Rent(most);
        try
        {
            var count = EncodeWord(word, rented);
            var ids = rented.AsSpan(0, count);
            if (remember) _cache.Set(word, ids);
            output.Append(ids);
        }
        finally
        {
            ArrayPool<int>.Shared.Return(rented);
        }
    }

    private int EncodeWord(ReadOnlySpan<char> word, Span<int> ids)
    {
        if (_ignoreMerges && TryGetWhole(word, out var whole))
        {
            ids[0] = whole;
            return 1;
        }

        var count = _byteLevel ? SymbolsOfBytes(word, ids) : SymbolsOfCharacters(word, ids);
        return _merger.Apply(ids[..count]);
    }

    private bool TryGetWhole(ReadOnlySpan<char> word, out int id)
    {
        if (!_byteLevel) return _byText.TryGetValue(word, out id);
        if (word.Length > 256)
        {
            id = -1;
            return false;
        }

        Span<byte> bytes = stackalloc byte[Encoding.UTF8.GetMaxByteCount(word.Length)];
        Span<char> mapped = stackalloc char[bytes.Length];
        var length = Encoding.UTF8.GetBytes(word, bytes);
        for (var index = 0; index < length; index++) mapped[index] = ByteLevelAlphabet.ToChar(bytes[index]);
        return _byText.TryGetValue(mapped[..length], out id);
    }

    private int SymbolsOfBytes(ReadOnlySpan<char> word, Span<int> ids)
    {
        var bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(word.Length));
        try
        {
            var length = Encoding.UTF8.GetBytes(word, bytes);
            var symbols = new SymbolWriter(ids, _unknownId, _fuseUnknown);
            foreach (var value in bytes.AsSpan(0, length)) symbols.Add(_byteLevelIds[value]);
            return symbols.Count;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private int SymbolsOfCharacters(ReadOnlySpan<char> word, Span<int> ids)
    {
        Span<byte> bytes = stackalloc byte[4];
        var symbols = new SymbolWriter(ids, _unknownId, _fuseUnknown);
        while (!word.IsEmpty)
        {
            Rune.DecodeFromUtf16(word, out var rune, out var consumed);
            if (_byText.TryGetValue(word[..consumed], out var id))
            {
                symbols.Add(id);
            }
            else
            {
                var length = rune.EncodeToUtf8(bytes);
                if (!HasFallback(bytes[..length])) symbols.Add(-1);
                else foreach (var value in bytes[..length]) symbols.Add(_fallbackIds![value]);
            }

            word = word[consumed..];
        }

        return symbols.Count;
    }

    private bool HasFallback(ReadOnlySpan<byte> bytes)
    {
        if (_fallbackIds is null) return false;
        foreach (var value in bytes)
        {
            if (_fallbackIds[value] < 0) return false;
        }

        return true;
    }

    /// <summary>Collects symbols; what the vocabulary lacks becomes the unknown token, once per run where fused, or nothing.</summary>
    private ref struct SymbolWriter(Span<int> ids, int unknownId, bool fuseUnknown)
    {
        private readonly Span<int> _ids = ids;
        private bool _afterUnknown;

        public int Count { get; private set; }

        public void Add(int id)
        {
            var unknown = id < 0;
            if (unknown && (unknownId < 0 || (fuseUnknown && _afterUnknown))) return;
            _ids[Count++] = unknown ? unknownId : id;
            _afterUnknown = unknown;
        }
    }
}

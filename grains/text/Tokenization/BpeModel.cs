using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace Granary.Text.Tokenization;

/// <summary>Vocabulary and merges of a byte-pair encoding: one word in, its ids out.</summary>
/// <remarks>Immutable but for its word cache, so one instance serves all threads.</remarks>
internal sealed class BpeModel
{
    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _byText;
    private readonly BpeMerger _merger;
    private readonly LibraryMerger? _library;
    private readonly WordCache _cache = new();
    private readonly int[] _byteLevelIds = new int[256];
    private readonly int[] _characterIds;
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
        _library = byteLevel ? LibraryMerger.TryCreate(vocabulary, merges) : null;
        _characterIds = byteLevel ? [] : CharacterIds(vocabulary);

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

    /// <summary>Longest word that is encoded, in chars: bounds the memory of merging to about 100 bytes a char.</summary>
    public const int MaxWordLength = 2 * 1024 * 1024;

    /// <summary>Most symbols whose buffers are kept for the next word; longer words are rare, and theirs would stay large.</summary>
    private const int MaxPooledSymbols = 1 << 16;

    /// <summary>Appends the ids of one pre-tokenized word, which must be well-formed UTF-16.</summary>
    /// <param name="share">What the library may still do in this text.</param>
    /// <exception cref="TokenizerException">The word is longer than <see cref="MaxWordLength"/>.</exception>
    public void Encode(ReadOnlySpan<char> word, ref LibraryShare share, IdList output)
    {
        if (word.IsEmpty) return;
        if (word.Length > WordCache.MaxWordLength)
        {
            share.Skip(word.Length);
            EncodeLong(word, output);
            return;
        }

        if (_cache.TryGet(word, out var known))
        {
            share.Skip(word.Length);
            output.Append(known);
            return;
        }

        Span<int> ids = stackalloc int[WordCache.MaxWordLength * 3]; // No char has more than three bytes of UTF-8.
        ids = ids[..EncodeWord(word, share.TryTake(word.Length) ? _library : null, ids)];
        _cache.Set(word, ids);
        output.Append(ids);
    }

    /// <summary>Writes the ids of one word by one of the two mergers, whichever it is the same ids.</summary>
    internal int EncodeWord(ReadOnlySpan<char> word, LibraryMerger? library, Span<int> ids)
    {
        if (_ignoreMerges && TryGetWhole(word, out var whole))
        {
            ids[0] = whole;
            return 1;
        }

        if (library is not null) return library.Encode(word, ids);
        var count = _byteLevel ? SymbolsOfBytes(word, ids) : SymbolsOfCharacters(word, ids);
        return _merger.Apply(ids[..count]);
    }

    internal LibraryMerger? Library => _library;

    private void EncodeLong(ReadOnlySpan<char> word, IdList output)
    {
        if (word.Length > MaxWordLength)
        {
            throw new TokenizerException($"The text has a word of {word.Length} chars, without anything the tokenizer cuts at; at most {MaxWordLength} are encoded.");
        }

        var most = Encoding.UTF8.GetByteCount(word);
        var rented = most <= MaxPooledSymbols ? ArrayPool<int>.Shared.Rent(most) : GC.AllocateUninitializedArray<int>(most);
        output.Append(rented.AsSpan(0, EncodeWord(word, null, rented)));
        if (most <= MaxPooledSymbols) ArrayPool<int>.Shared.Return(rented);
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
        Span<byte> bytes = stackalloc byte[256];
        var symbols = new SymbolWriter(ids, _unknownId, _fuseUnknown);
        while (!word.IsEmpty)
        {
            Utf8.FromUtf16(word, bytes, out var read, out var written);
            foreach (var value in bytes[..written]) symbols.Add(_byteLevelIds[value]);
            word = word[read..];
        }

        return symbols.Count;
    }

    private int SymbolsOfCharacters(ReadOnlySpan<char> word, Span<int> ids)
    {
        Span<byte> bytes = stackalloc byte[4];
        var symbols = new SymbolWriter(ids, _unknownId, _fuseUnknown);
        while (!word.IsEmpty)
        {
            if (_characterIds[word[0]] is >= 0 and var known)
            {
                symbols.Add(known);
                word = word[1..];
                continue;
            }

            Rune.DecodeFromUtf16(word, out var rune, out var consumed);
            if (consumed > 1 && _byText.TryGetValue(word[..consumed], out var id))
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

    /// <summary>The token of each char that is one by itself, else -1.</summary>
    private static int[] CharacterIds(Dictionary<string, int> vocabulary)
    {
        var ids = new int[char.MaxValue + 1];
        Array.Fill(ids, -1);
        foreach (var (token, id) in vocabulary)
        {
            if (token.Length == 1) ids[token[0]] = id;
        }

        return ids;
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

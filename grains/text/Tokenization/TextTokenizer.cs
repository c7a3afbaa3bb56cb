using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>Text to token ids and back, as the model's tokenizer files say.</summary>
/// <remarks>
/// Safe for any number of threads. Reads <c>tokenizer.json</c> (byte-pair encodings, byte-level or with byte
/// fallback) or GPT-2's <c>vocab.json</c> and <c>merges.txt</c>; special-token settings come from
/// <c>tokenizer_config.json</c>. <c>clean_up_tokenization_spaces</c> is not followed: it would change text that the
/// model wrote, and what is decoded would depend on what follows.
/// </remarks>
public sealed class TextTokenizer
{
    /// <summary>Longest text that <see cref="Encode"/> takes, in chars; encoding is O(n log n) in it at worst.</summary>
    public const int MaxTextLength = 16 * 1024 * 1024;

    private readonly TokenizerParts _parts;
    private readonly BpeModel _model;
    private readonly AddedTokens _raw;
    private readonly AddedTokens _normalized;
    private readonly string?[] _tokens;
    private readonly bool[] _special;
    private readonly TokenPiece?[] _pieces;
    private readonly char? _wordMark;
    private EncodingWork? _idle;

    internal TextTokenizer(TokenizerParts parts)
    {
        _parts = parts;
        Decoder = parts.Decoder;
        _model = new BpeModel(
            parts.Vocabulary, parts.Merges, parts.UnknownToken, parts.ByteFallback, parts.FuseUnknown, parts.IgnoreMerges, parts.ByteLevel);
        _wordMark = parts.ByteLevel || parts.IgnoreMerges ? null : WordMark.Find(parts);
        _raw = new AddedTokens(parts.Added.Where(token => !token.Normalized).Select(token => (token.Content, token)));
        _normalized = new AddedTokens(parts.Added.Where(token => token.Normalized)
            .Select(token => (parts.Normalizer?.Apply(token.Content) ?? token.Content, token)));

        VocabularySize = 1 + Math.Max(
            parts.Vocabulary.Values.DefaultIfEmpty(-1).Max(), parts.Added.Select(token => token.Id).DefaultIfEmpty(-1).Max());
        _tokens = new string?[VocabularySize];
        _special = new bool[VocabularySize];
        _pieces = new TokenPiece?[VocabularySize];
        foreach (var (token, id) in parts.Vocabulary) _tokens[id] = token;
        foreach (var token in parts.Added)
        {
            _tokens[token.Id] = token.Content;
            _special[token.Id] = token.Special;
        }
    }

    /// <summary>One more than the highest id.</summary>
    public int VocabularySize { get; }

    /// <summary>Text of the token that begins a sequence, where the configuration names one.</summary>
    public string? BosToken => _parts.BosToken;

    /// <summary>Text of the token that ends a sequence, where the configuration names one.</summary>
    public string? EosToken => _parts.EosToken;

    internal TokenDecoder Decoder { get; }

    internal BpeModel Model => _model;

    /// <exception cref="TokenizerException">A file is missing, malformed, or asks for what is not supported; the message names file and field.</exception>
    public static TextTokenizer Load(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        return new TextTokenizer(TokenizerLoader.Load(directory));
    }

    /// <summary>The same from files that are in memory, by name.</summary>
    /// <exception cref="TokenizerException">A file is missing, malformed, or asks for what is not supported; the message names file and field.</exception>
    public static TextTokenizer Load(IReadOnlyDictionary<string, byte[]> files)
    {
        ArgumentNullException.ThrowIfNull(files);
        return new TextTokenizer(TokenizerLoader.Load(files));
    }

    public bool TryGetId(string token, out int id)
    {
        ArgumentNullException.ThrowIfNull(token);
        foreach (var added in _parts.Added)
        {
            if (added.Content == token)
            {
                id = added.Id;
                return true;
            }
        }

        return _parts.Vocabulary.TryGetValue(token, out id);
    }

    /// <param name="text">Unpaired surrogates in it count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to add what the post-processor puts around a text (as BOS and EOS); tokens named in the text are recognised either way.</param>
    /// <exception cref="TokenizerException">The text is longer than <see cref="MaxTextLength"/>.</exception>
    public int[] Encode(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > MaxTextLength) throw new TokenizerException($"The text has {text.Length} chars; at most {MaxTextLength} are encoded.");

        text = WellFormed(text);
        var work = Interlocked.Exchange(ref _idle, null) ?? new EncodingWork();
        if (addSpecialTokens) work.Ids.Append(_parts.Prefix);
        _raw.Split(new Piece(text, 0, text.Length), work.Raw);
        foreach (var (start, length, token) in work.Raw)
        {
            if (token is not null) work.Ids.Append(token.Id);
            else EncodeStretch(new Piece(text, start, length), work);
        }

        if (addSpecialTokens) work.Ids.Append(_parts.Suffix);
        var ids = work.Ids.ToArray();
        if (work.TryClear()) _idle = work; // After an exception it is left to the collector.
        return ids;
    }

    /// <summary>The text of all ids; ids without a token stand for nothing.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        var detokenizer = CreateDetokenizer(skipSpecialTokens);
        foreach (var id in ids) detokenizer.Add(id);
        return detokenizer.Flush();
    }

    public Detokenizer CreateDetokenizer(bool skipSpecialTokens = true) => new(this, skipSpecialTokens);

    /// <summary>The bytes that a token stands for in the middle of a text, possibly part of a character; none for an id without a token.</summary>
    public ReadOnlyMemory<byte> BytesOf(int id) => TryGetPiece(id, first: false, skipSpecialTokens: false, out var piece) ? piece.Bytes : default;

    internal bool TryGetPiece(int id, bool first, bool skipSpecialTokens, out TokenPiece piece)
    {
        piece = null!;
        if ((uint)id >= (uint)_tokens.Length || _tokens[id] is not { } token || (skipSpecialTokens && _special[id])) return false;
        if (first && Decoder.DroppedFromFirst is not null)
        {
            piece = new TokenPiece(Decoder.BytesOf(token, first: true, out var rawFirst), rawFirst);
            return true;
        }

        piece = _pieces[id] ??= new TokenPiece(Decoder.BytesOf(token, first: false, out var raw), raw);
        return true;
    }

    private void EncodeStretch(Piece piece, EncodingWork work)
    {
        var atStart = piece.Start == 0;
        if (_parts.Normalizer is { } normalizer)
        {
            var text = normalizer.Apply(piece.Span.ToString());
            piece = new Piece(text, 0, text.Length);
        }

        work.Normalized.Clear();
        _normalized.Split(piece, work.Normalized);
        foreach (var (start, length, token) in work.Normalized)
        {
            if (token is not null) work.Ids.Append(token.Id);
            else EncodePieces(piece with { Start = start, Length = length }, atStart && start == piece.Start, work);
        }
    }

    private void EncodePieces(Piece piece, bool atStart, EncodingWork work)
    {
        var (pieces, next) = (work.Pieces, work.NextPieces);
        pieces.Clear();
        pieces.Add(piece);
        foreach (var step in _parts.PreTokenizers)
        {
            next.Clear();
            foreach (var part in pieces) step.Apply(part, atStart && part.Start == piece.Start, next);
            (pieces, next) = (next, pieces);
        }

        foreach (var word in pieces)
        {
            if (_wordMark is { } mark) EncodeMarkedWords(word.Span, mark, work);
            else _model.Encode(word.Span, ref work.Share, work.Ids);
        }
    }

    /// <summary>Cuts before each run of marks: no merge crosses such a border, so the ids are those of the whole.</summary>
    private void EncodeMarkedWords(ReadOnlySpan<char> text, char mark, EncodingWork work)
    {
        while (!text.IsEmpty)
        {
            var end = text.IndexOfAnyExcept(mark);
            end = end < 0 ? text.Length : end;
            var next = text[end..].IndexOf(mark);
            end = next < 0 ? text.Length : end + next;
            _model.Encode(text[..end], ref work.Share, work.Ids);
            text = text[end..];
        }
    }

    private static string WellFormed(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF')) return text;
        var wrong = false;
        foreach (var rune in text.EnumerateRunes()) wrong |= rune == Rune.ReplacementChar;
        if (!wrong) return text;
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes()) result.Append(rune);
        return result.ToString();
    }
}

/// <summary>What one token adds to a text. <paramref name="Raw"/>: the bytes may be part of a character.</summary>
internal sealed record TokenPiece(byte[] Bytes, bool Raw);

using System.Text;

namespace Granary.Text.Tokenization;

/// <summary>Turns ids into text as they come; what it returned is final, and never ends inside a character.</summary>
/// <remarks>For one sequence and one thread. The deltas, joined, are exactly what <see cref="TextTokenizer.Decode"/> gives for all ids.</remarks>
public sealed class Detokenizer
{
    private readonly TextTokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private readonly StringBuilder _output = new();
    private readonly byte[] _pending = new byte[4];
    private int _pendingLength;
    private int _toStrip;
    private int _heldBack;
    private bool _first = true;

    internal Detokenizer(TextTokenizer tokenizer, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
        _toStrip = tokenizer.Decoder.StripStart;
    }

    /// <summary>Takes the next id and returns the text that is certain now, often empty.</summary>
    /// <remarks>An id that the vocabulary lacks stands for no text, as in models whose output is wider than their vocabulary.</remarks>
    public string Append(int id)
    {
        Add(id);
        return Take();
    }

    /// <summary>Ends the text: an unfinished character becomes U+FFFD.</summary>
    public string Flush()
    {
        FlushBytes();
        _heldBack = 0; // Trailing characters that the decoder strips.
        return Take();
    }

    internal void Add(int id)
    {
        if (!_tokenizer.TryGetPiece(id, _first, _skipSpecialTokens, out var piece)) return;
        if (!_first && _tokenizer.Decoder.Separator is { Length: > 0 } separator) Emit(separator);
        _first = false;
        if (!piece.Raw) FlushBytes();
        Bytes(piece.Bytes);
    }

    internal string Take()
    {
        if (_output.Length == 0) return "";
        var text = _output.ToString();
        _output.Clear();
        return text;
    }

    private void Bytes(ReadOnlySpan<byte> bytes)
    {
        foreach (var value in bytes)
        {
            _pending[_pendingLength++] = value;
            while (_pendingLength > 0)
            {
                var status = Rune.DecodeFromUtf8(_pending.AsSpan(0, _pendingLength), out var rune, out var consumed);
                if (status == System.Buffers.OperationStatus.NeedMoreData) break;
                Resolve(rune, status == System.Buffers.OperationStatus.Done, consumed);
            }
        }
    }

    private void FlushBytes()
    {
        while (_pendingLength > 0)
        {
            var status = Rune.DecodeFromUtf8(_pending.AsSpan(0, _pendingLength), out var rune, out var consumed);
            Resolve(rune, status == System.Buffers.OperationStatus.Done, consumed);
        }
    }

    private void Resolve(Rune rune, bool valid, int consumed)
    {
        Span<char> chars = stackalloc char[2];
        var length = rune.EncodeToUtf16(chars); // U+FFFD where the bytes are no character.
        // A byte-level decoder marks each broken sequence once, byte tokens are marked one by one.
        var times = valid || _tokenizer.Decoder.ByteLevel ? 1 : consumed;
        for (var time = 0; time < times; time++) Emit(chars[..length]);
        _pending.AsSpan(consumed, _pendingLength - consumed).CopyTo(_pending);
        _pendingLength -= consumed;
    }

    private void Emit(ReadOnlySpan<char> text)
    {
        var decoder = _tokenizer.Decoder;
        if (_toStrip > 0)
        {
            if (text.Length > 0 && text[0] == decoder.StripChar)
            {
                _toStrip--;
                return;
            }

            _toStrip = 0;
        }

        if (decoder.StripStop == 0)
        {
            _output.Append(text);
            return;
        }

        foreach (var c in text)
        {
            if (c == decoder.StripChar && _heldBack < decoder.StripStop)
            {
                _heldBack++;
            }
            else if (c == decoder.StripChar)
            {
                _output.Append(c);
            }
            else
            {
                _output.Append(decoder.StripChar, _heldBack).Append(c);
                _heldBack = 0;
            }
        }
    }
}

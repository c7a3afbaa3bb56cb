using System.Buffers;
using System.Text;

namespace Granary.Silo.Gateway;

/// <summary>The frame of one choice's plain deltas, rendered once: only the text changes from token to token.</summary>
internal sealed class TextFrame
{
    /// <summary>Stands for the text while the frame is rendered. Neither ids nor names of models have it, and it is written as it is.</summary>
    private const string Mark = "|";

    /// <summary>A char has at most three UTF-8 bytes, and each is escaped as at most six.</summary>
    private const int MaxBytesOfChar = 6;

    private const int MaxOnStack = 64;

    private readonly byte[] _before;
    private readonly byte[] _after;

    /// <param name="frame">The whole frame with <see cref="Mark"/> as its text.</param>
    private TextFrame(ReadOnlySpan<byte> frame)
    {
        var place = frame.LastIndexOf((byte)Mark[0]);
        (_before, _after) = (frame[..place].ToArray(), frame[(place + 1)..].ToArray());
    }

    public static TextFrame Of(ResponseShape shape, int choice)
    {
        var frame = new ArrayBufferWriter<byte>();
        frame.Write("data: "u8);
        using (var json = new System.Text.Json.Utf8JsonWriter(frame, Json.WriterOptions)) shape.WriteDelta(json, new(choice, Mark, -1, null));
        frame.Write("\n\n"u8);
        return new(frame.WrittenSpan);
    }

    public void Write(IBufferWriter<byte> output, string text)
    {
        var span = output.GetSpan(_before.Length + (text.Length * MaxBytesOfChar) + _after.Length);
        _before.CopyTo(span);
        var length = _before.Length + Escape(text, span[_before.Length..]);
        _after.CopyTo(span[length..]);
        output.Advance(length + _after.Length);
    }

    private static int Escape(string text, Span<byte> output)
    {
        var most = Encoding.UTF8.GetMaxByteCount(text.Length);
        var utf8 = most <= MaxOnStack ? stackalloc byte[MaxOnStack] : new byte[most];
        var length = Encoding.UTF8.GetBytes(text, utf8);
        Json.WriterOptions.Encoder!.EncodeUtf8(utf8[..length], output, out _, out var written);
        return written;
    }
}

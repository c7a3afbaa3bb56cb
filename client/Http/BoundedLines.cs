namespace Granary.Client;

/// <summary>Passes a stream on, and ends it with an error where a line is longer than a frame can be: a parser keeps each line whole.</summary>
internal sealed class BoundedLines(Stream inner) : Stream
{
    /// <summary>Bytes of one line.</summary>
    public const int MaxLineBytes = 4 * 1024 * 1024;

    private int _line;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await inner.ReadAsync(buffer, cancellationToken);
        Count(buffer.Span[..read]);
        return read;
    }

    public override int Read(byte[] buffer, int offset, int count)
    {
        var read = inner.Read(buffer, offset, count);
        Count(buffer.AsSpan(offset, read));
        return read;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private void Count(ReadOnlySpan<byte> bytes)
    {
        var last = bytes.LastIndexOf((byte)'\n');
        _line = last < 0 ? _line + bytes.Length : bytes.Length - last - 1;
        if (_line > MaxLineBytes) throw new InvalidDataException($"A line of the stream is longer than {MaxLineBytes} bytes.");
    }
}

using System.Buffers;
using System.IO.Pipelines;

namespace Granary.Client.Cli.Text;

/// <summary>Reads lines of bytes, none longer in memory than a bound.</summary>
internal sealed class LineReader(Stream input, int maxLineBytes) : IAsyncDisposable
{
    private readonly PipeReader _pipe = PipeReader.Create(input, new StreamPipeReaderOptions(bufferSize: 64 * 1024, leaveOpen: true));

    public int MaxLineBytes => maxLineBytes;

    /// <summary>The next line without its end (LF or CRLF); <see cref="Line.TooLong"/> for one beyond the bound, which is skipped; null at the end.</summary>
    public async ValueTask<Line?> ReadAsync(CancellationToken cancellationToken)
    {
        var skipping = false;
        while (true)
        {
            var result = await _pipe.ReadAsync(cancellationToken);
            var buffer = result.Buffer;
            if (buffer.PositionOf((byte)'\n') is { } end)
            {
                var line = buffer.Slice(0, end);
                var answer = skipping || line.Length > maxLineBytes ? Line.TooLong : Line.Of(line);
                _pipe.AdvanceTo(buffer.GetPosition(1, end));
                return answer;
            }

            if (result.IsCompleted)
            {
                Line? answer = skipping || buffer.Length > maxLineBytes ? Line.TooLong : buffer.IsEmpty ? null : Line.Of(buffer);
                _pipe.AdvanceTo(buffer.End);
                return answer;
            }

            skipping |= buffer.Length > maxLineBytes;
            if (skipping)
                _pipe.AdvanceTo(buffer.End);
            else
                _pipe.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    public ValueTask DisposeAsync() => _pipe.CompleteAsync();
}

/// <param name="Bytes">Null of a line that was too long.</param>
internal readonly record struct Line(byte[]? Bytes)
{
    public static Line TooLong => default;

    public static Line Of(in ReadOnlySequence<byte> bytes)
    {
        var array = bytes.ToArray();
        return new Line(array is [.. var head, (byte)'\r'] ? head : array);
    }
}

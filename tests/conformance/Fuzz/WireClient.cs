using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>An HTTP/1 client that sends whatever it is given, and reads one answer.</summary>
internal static class WireClient
{
    public static async Task<WireAnswer> SendAsync(Uri silo, FuzzRequest request, CancellationToken cancellationToken)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(silo.Host, silo.Port, cancellationToken);
        // Thousands of connections in a minute: none waits for its port afterwards.
        socket.LingerState = new(enable: true, seconds: 0);
        await using var stream = new NetworkStream(socket);
        var bytes = request.ToBytes();
        try
        {
            await stream.WriteAsync(request.Leave == Leave.InTheRequest ? bytes.AsMemory(0, request.LeaveAt) : bytes, cancellationToken);
            // What a broken length still promises does not come.
            if (request.BreaksHttp) socket.Shutdown(SocketShutdown.Send);
        }
        catch (IOException)
        {
            // Refused before it was all sent; the answer may still be there.
        }

        if (request.Leave is Leave.InTheRequest or Leave.BeforeTheAnswer) return WireAnswer.None;
        var reader = new Reader(stream, request.Leave == Leave.InTheAnswer ? request.LeaveAt : int.MaxValue);
        try
        {
            return await reader.ReadAnswerAsync(request.Method == "HEAD", cancellationToken);
        }
        catch (IOException)
        {
            return WireAnswer.None;
        }
    }

    private sealed class Reader(NetworkStream stream, int most)
    {
        private readonly byte[] _buffer = new byte[16 * 1024];
        private int _start;
        private int _end;
        private int _read;

        public async Task<WireAnswer> ReadAnswerAsync(bool head, CancellationToken cancellationToken)
        {
            while (true)
            {
                if (await LineAsync(cancellationToken) is not { } status) return WireAnswer.None;
                var code = int.Parse(status.Split(' ')[1], NumberStyles.None, CultureInfo.InvariantCulture);
                var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
                while (await LineAsync(cancellationToken) is { Length: > 0 } line)
                    headers[line[..line.IndexOf(':')]] = line[(line.IndexOf(':') + 1)..].Trim();
                if (code is >= 100 and < 200) continue;
                var (body, whole) = head || code is 204 or 304 ? ([], true) : await BodyAsync(headers, cancellationToken);
                return new(code, headers, body, whole);
            }
        }

        private async Task<(byte[] Body, bool Whole)> BodyAsync(Dictionary<string, string> headers, CancellationToken cancellationToken)
        {
            using var body = new MemoryStream();
            if (headers.TryGetValue("Content-Length", out var length))
            {
                var whole = await CopyAsync(body, int.Parse(length, CultureInfo.InvariantCulture), cancellationToken);
                return (body.ToArray(), whole);
            }

            if (!headers.ContainsKey("Transfer-Encoding"))
            {
                await CopyAsync(body, int.MaxValue, cancellationToken);
                return (body.ToArray(), true);
            }

            while (await LineAsync(cancellationToken) is { } size)
            {
                var count = int.Parse(size, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                if (!await CopyAsync(body, count, cancellationToken) || await LineAsync(cancellationToken) is null) break;
                if (count == 0) return (body.ToArray(), true);
            }

            return (body.ToArray(), false);
        }

        private async Task<bool> CopyAsync(MemoryStream body, int count, CancellationToken cancellationToken)
        {
            while (count > 0)
            {
                if (_start == _end && !await FillAsync(cancellationToken)) return false;
                var taken = Math.Min(count, _end - _start);
                body.Write(_buffer, _start, taken);
                _start += taken;
                count -= taken;
            }

            return true;
        }

        /// <returns>Null at the end of the connection.</returns>
        private async Task<string?> LineAsync(CancellationToken cancellationToken)
        {
            var line = new StringBuilder();
            while (_start < _end || await FillAsync(cancellationToken))
            {
                var c = (char)_buffer[_start++];
                if (c == '\n') return line.ToString();
                if (c != '\r') line.Append(c);
            }

            return null;
        }

        private async Task<bool> FillAsync(CancellationToken cancellationToken)
        {
            if (_read >= most) return false;
            (_start, _end) = (0, await stream.ReadAsync(_buffer.AsMemory(0, Math.Min(_buffer.Length, most - _read)), cancellationToken));
            _read += _end;
            return _end > 0;
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>One HTTP/1.1 connection with one request at a time; its frames are counted and stamped, and not read.</summary>
/// <remarks>A frame ends with two line feeds, which nothing else in the response has. After the tokens come one frame with the end and the end mark.</remarks>
internal sealed class StreamConnection : IDisposable
{
    private const int FramesAfterTokens = 2;
    private static readonly byte[] Okay = "HTTP/1.1 200"u8.ToArray();

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly SocketAsyncEventArgs _receive = new();
    private readonly byte[] _buffer = new byte[16 * 1024];
    private readonly Action<StreamConnection, Trace> _completed;
    private readonly Action<Exception> _failed;
    private Trace _trace = null!; // Set by the first request, before anything can be received.
    private int _maxTokens;
    private int _frames;
    private bool _head;
    private bool _lineEnded;

    /// <param name="completed">Called when a response is whole and the connection free again.</param>
    public StreamConnection(IPEndPoint server, Action<StreamConnection, Trace> completed, Action<Exception> failed)
    {
        (_completed, _failed) = (completed, failed);
        _socket.Connect(server);
        _receive.SetBuffer(_buffer);
        _receive.Completed += (_, _) => Received();
    }

    /// <summary>Tokens that have arrived on any connection. Responses are read by one thread.</summary>
    public static long TokensArrived;

    public void Send(Trace trace, int maxTokens)
    {
        (_trace, _maxTokens, _frames, _head, _lineEnded) = (trace, maxTokens, 0, true, false);
        var request = Prompt.ToHttp(trace.Number, maxTokens);
        trace.Sent = Stopwatch.GetTimestamp();
        _socket.Send(request);
        if (!_socket.ReceiveAsync(_receive)) Received();
    }

    public void Dispose()
    {
        _socket.Dispose();
        _receive.Dispose();
    }

    private void Received()
    {
        try
        {
            do
            {
                if (_receive.SocketError != SocketError.Success || _receive.BytesTransferred == 0)
                    throw new InvalidOperationException($"Request {_trace.Number} ended after {_frames} frames: {_receive.SocketError}.");
                if (!Count(_buffer.AsSpan(0, _receive.BytesTransferred))) continue;
                _completed(this, _trace);
                return;
            }
            while (!_socket.ReceiveAsync(_receive));
        }
        catch (Exception exception)
        {
            _failed(exception);
        }
    }

    /// <returns>Whether the response is whole.</returns>
    private bool Count(ReadOnlySpan<byte> bytes)
    {
        if (_head && !bytes.StartsWith(Okay)) throw new InvalidOperationException($"Request {_trace.Number}: {System.Text.Encoding.UTF8.GetString(bytes)}");
        _head = false;
        var now = Stopwatch.GetTimestamp();
        var rest = bytes;
        if (_lineEnded && rest[0] == '\n')
        {
            Frame(now);
            rest = rest[1..];
        }

        while (rest.IndexOf("\n\n"u8) is >= 0 and var end)
        {
            Frame(now);
            rest = rest[(end + 2)..];
        }

        _lineEnded = rest is [.., (byte)'\n'];
        return _frames == _maxTokens + FramesAfterTokens && bytes.EndsWith("0\r\n\r\n"u8);
    }

    private void Frame(long now)
    {
        if (_frames++ >= _maxTokens) return;
        _trace.Token(now);
        Interlocked.Increment(ref TokensArrived);
    }
}

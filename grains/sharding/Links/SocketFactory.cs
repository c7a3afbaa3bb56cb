using System.Net;
using System.Net.Sockets;

namespace Granary.Sharding.Links;

/// <summary>Makes sockets as links need them: no delay, buffers for some frames, nothing of them left to the runtime's event loop.</summary>
internal sealed class SocketFactory(LinkOptions options, TimeProvider time)
{
    private const int BufferBytes = 1 << 20; // The system may grant less.

    /// <summary>How often a connecting thread looks whether it is still wanted.</summary>
    private static readonly TimeSpan ConnectingLook = TimeSpan.FromMilliseconds(50);

    // Headers and the frames of the link itself on top; a peer keeps to its credits.
    private readonly long _maxAside = (options.Credits + 2L) * ((long)options.MaxFrameBytes + Frame.HeaderBytes) + (1 << 20);

    public static Socket Create(AddressFamily family) =>
        new(family, SocketType.Stream, family == AddressFamily.Unix ? ProtocolType.Unspecified : ProtocolType.Tcp);

    public ByteDuplex Wrap(Socket socket)
    {
        if (socket.AddressFamily != AddressFamily.Unix) socket.NoDelay = true;
        socket.SendBufferSize = BufferBytes;
        socket.ReceiveBufferSize = BufferBytes;
        return new SocketDuplex(socket, time, _maxAside);
    }

    /// <summary>Connects by the calling thread: a socket that once waited in the event loop would wake it with every frame.</summary>
    /// <exception cref="SocketException">Nobody listens there, or not in time.</exception>
    /// <exception cref="OperationCanceledException">The token said so.</exception>
    public ByteDuplex Connect(LinkEndpoint endpoint, CancellationToken cancellationToken)
    {
        if (endpoint.Scheme == LinkScheme.Unix) return Connect(new UnixDomainSocketEndPoint(endpoint.Name), cancellationToken);
        SocketException? last = null;
        foreach (var address in Dns.GetHostAddresses(endpoint.Name))
        {
            try
            {
                return Connect(new IPEndPoint(address, endpoint.Port), cancellationToken);
            }
            catch (SocketException error)
            {
                last = error;
            }
        }

        throw last ?? new SocketException((int)SocketError.HostNotFound);
    }

    private ByteDuplex Connect(EndPoint address, CancellationToken cancellationToken)
    {
        var socket = Create(address.AddressFamily);
        try
        {
            socket.Blocking = false;
            try
            {
                socket.Connect(address);
            }
            catch (SocketException error) when (error.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
            {
                while (!socket.Poll(ConnectingLook, SelectMode.SelectWrite)) cancellationToken.ThrowIfCancellationRequested();
                if ((int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)! is var code && code != 0) throw new SocketException(code);
            }

            return Wrap(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

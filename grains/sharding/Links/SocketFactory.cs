using System.Net;
using System.Net.Sockets;

namespace Granary.Sharding.Links;

/// <summary>Makes sockets as links need them: no delay, buffers for some frames, nothing of them left to the runtime's event loop.</summary>
internal sealed class SocketFactory(LinkOptions options, TimeProvider time)
{
    private const int BufferBytes = 1 << 20; // The system may grant less.

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

    /// <summary>Connects by the calling thread: a socket that once waited in the event loop wakes it with every frame,
    /// and one that once did not block waits there for ever after.</summary>
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
            using (cancellationToken.Register(socket.Dispose)) socket.Connect(address); // Disposal ends the call.
            cancellationToken.ThrowIfCancellationRequested();
            return Wrap(socket);
        }
        catch
        {
            socket.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw;
        }
    }
}

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Granary.Sharding.Links;

/// <summary>Where byte streams of peers come in.</summary>
internal abstract class ByteListener : IDisposable
{
    /// <summary>As peers write it.</summary>
    public abstract LinkEndpoint Endpoint { get; }

    /// <summary>Waits for a peer.</summary>
    /// <exception cref="OperationCanceledException">The token said so.</exception>
    /// <exception cref="SocketException">This peer did not come through; the next may.</exception>
    public abstract ValueTask<ByteDuplex> AcceptAsync(CancellationToken cancellationToken);

    public abstract void Dispose();
}

/// <summary>Of TCP or a Unix socket; the latter's file can be used by this user only, and goes with it.</summary>
internal sealed class SocketListener : ByteListener
{
    private const int Backlog = 128;

    private readonly SocketFactory _sockets;
    private readonly Socket _socket;

    /// <exception cref="SocketException">The address is in use, or is not one of this host.</exception>
    public SocketListener(SocketFactory sockets, LinkEndpoint endpoint)
    {
        _sockets = sockets;
        if (endpoint.Scheme == LinkScheme.Unix)
        {
            RemoveStale(endpoint.Name);
            _socket = SocketFactory.Create(AddressFamily.Unix);
            Bind(new UnixDomainSocketEndPoint(endpoint.Name));
            if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(endpoint.Name, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            Endpoint = endpoint;
        }
        else
        {
            var address = IPAddress.TryParse(endpoint.Name, out var literal) ? literal : Dns.GetHostAddresses(endpoint.Name)[0];
            _socket = SocketFactory.Create(address.AddressFamily);
            Bind(new IPEndPoint(address, endpoint.Port));
            var any = address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);
            Endpoint = endpoint with { Name = any ? Dns.GetHostName() : endpoint.Name, Port = ((IPEndPoint)_socket.LocalEndPoint!).Port };
        }

        _socket.Listen(Backlog); // Nobody can connect before, so nobody could before the file's mode was set.
    }

    public override LinkEndpoint Endpoint { get; }

    public override async ValueTask<ByteDuplex> AcceptAsync(CancellationToken cancellationToken) =>
        _sockets.Wrap(await _socket.AcceptAsync(cancellationToken).ConfigureAwait(false));

    public override void Dispose()
    {
        _socket.Dispose();
        if (Endpoint.Scheme == LinkScheme.Unix) File.Delete(Endpoint.Name);
    }

    private void Bind(EndPoint address)
    {
        try
        {
            _socket.Bind(address);
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    /// <summary>A process that was killed leaves its file behind; one that lives still answers on it.</summary>
    private static void RemoveStale(string path)
    {
        if (!File.Exists(path)) return;
        using var probe = SocketFactory.Create(AddressFamily.Unix);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
        }
    }
}

/// <summary>Of a name within the process.</summary>
internal sealed class MemoryListener : ByteListener
{
    private const int Backlog = 128;
    private static readonly ConcurrentDictionary<string, MemoryListener> Listeners = new(StringComparer.Ordinal);

    private readonly TimeProvider _time;
    private readonly Channel<ByteDuplex> _waiting = Channel.CreateBounded<ByteDuplex>(Backlog);

    /// <exception cref="SocketException">The name is in use.</exception>
    public MemoryListener(LinkEndpoint endpoint, TimeProvider time)
    {
        Endpoint = endpoint;
        _time = time;
        if (!Listeners.TryAdd(endpoint.Name, this)) throw new SocketException((int)SocketError.AddressAlreadyInUse);
    }

    public override LinkEndpoint Endpoint { get; }

    /// <exception cref="SocketException">Nobody listens on that name, or too many wait there.</exception>
    public static ByteDuplex Connect(LinkEndpoint endpoint)
    {
        if (!Listeners.TryGetValue(endpoint.Name, out var listener)) throw new SocketException((int)SocketError.ConnectionRefused);
        var (dialer, acceptor) = MemoryDuplex.Pair(listener._time);
        if (!listener._waiting.Writer.TryWrite(acceptor)) throw new SocketException((int)SocketError.ConnectionRefused);
        return dialer;
    }

    public override ValueTask<ByteDuplex> AcceptAsync(CancellationToken cancellationToken) => _waiting.Reader.ReadAsync(cancellationToken);

    public override void Dispose()
    {
        Listeners.TryRemove(new(Endpoint.Name, this));
        _waiting.Writer.TryComplete();
        while (_waiting.Reader.TryRead(out var left)) left.Dispose();
    }
}

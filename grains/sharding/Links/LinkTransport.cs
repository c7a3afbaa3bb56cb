using System.Net.Sockets;
using System.Security.Authentication;

namespace Granary.Sharding.Links;

/// <summary>Links over TCP, Unix sockets and memory, by the scheme of the endpoint.</summary>
/// <remarks>One for a silo: its links share the thread that keeps them from falling silent.</remarks>
public sealed class LinkTransport : ILinkTransport
{
    private const int MinSecretBytes = 16;

    private readonly LinkOptions _options;
    private readonly TimeProvider _time;
    private readonly LinkMonitor _monitor;
    private readonly SocketFactory _sockets;

    /// <exception cref="ArgumentException">An option is out of its bounds.</exception>
    public LinkTransport(LinkOptions options, TimeProvider time)
    {
        if (!BitConverter.IsLittleEndian) throw new PlatformNotSupportedException("Tensors travel as they lie in memory, which is little-endian on the wire.");
        Validate(options);
        _options = options;
        _time = time;
        _monitor = new(options, time);
        _sockets = new(options, time);
    }

    /// <summary>Links that are not over.</summary>
    public int OpenLinks => _monitor.Count;

    /// <summary>What tests put between a link and its wire.</summary>
    internal Func<ByteDuplex, LinkIdentity, ByteDuplex>? Interposer { get; set; }

    public ILinkListener Listen(string endpoint)
    {
        var address = LinkEndpoint.Parse(endpoint);
        try
        {
            ByteListener listener = address.Scheme == LinkScheme.Memory ? new MemoryListener(address, _time) : new SocketListener(_sockets, address);
            return new LinkListener(listener, _options, _time, wire => Secure(wire, address, asServer: true), Open);
        }
        catch (Exception error) when (error is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new LinkException(LinkFailure.Refused, $"{endpoint} cannot be listened on: {error.Message}", error);
        }
    }

    public Task<ITensorLink> ConnectAsync(string endpoint, LinkIdentity identity, CancellationToken cancellationToken = default)
    {
        var address = LinkEndpoint.Parse(endpoint);
        // A thread of its own, as it blocks in system calls: see SocketFactory.
        return Task.Factory.StartNew<ITensorLink>(() => Connect(address, identity, cancellationToken), cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private TensorLink Connect(LinkEndpoint endpoint, LinkIdentity identity, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(_options.ConnectTimeout, _time);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        ByteDuplex? wire = null;
        try
        {
            var connection = wire = endpoint.Scheme == LinkScheme.Memory ? MemoryListener.Connect(endpoint) : _sockets.Connect(endpoint, ended.Token);
            using (ended.Token.Register(connection.Abort))
            {
                wire = Secure(connection, endpoint, asServer: false);
                LinkHandshake.Dial(wire, identity, _options);
            }

            ended.Token.ThrowIfCancellationRequested();
            return Open(wire, identity);
        }
        catch (Exception error) when (error is LinkException or SocketException or AuthenticationException or IOException or OperationCanceledException)
        {
            wire?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            var name = $"{LinkMessages.Name(identity)} at {endpoint}";
            if (timeout.IsCancellationRequested) throw new LinkException(LinkFailure.Silent, $"{name} did not come about within {_options.ConnectTimeout.TotalSeconds:0.#} s.", error);
            throw error as LinkException ?? new LinkException(
                error is AuthenticationException ? LinkFailure.Refused : LinkFailure.Closed, $"{name} did not come about: {error.Message}", error);
        }
    }

    private TensorLink Open(ByteDuplex wire, LinkIdentity identity) =>
        new TensorLink(Interposer?.Invoke(wire, identity) ?? wire, identity, _options, _time, _monitor);

    private ByteDuplex Secure(ByteDuplex wire, LinkEndpoint endpoint, bool asServer) =>
        _options.Tls is { } tls && endpoint.Scheme == LinkScheme.Tcp ? TlsDuplex.Authenticate(wire, tls, endpoint.Name, asServer) : wire;

    private static void Validate(LinkOptions options)
    {
        if (options.ClusterSecret.Length < MinSecretBytes)
        {
            throw new ArgumentException($"{nameof(options.ClusterSecret)} has {options.ClusterSecret.Length} bytes, at least {MinSecretBytes}.", nameof(options));
        }

        if (options.PulsePeriod <= TimeSpan.Zero || options.PulsePeriod * 2 > options.SilenceLimit)
        {
            throw new ArgumentException(
                $"{nameof(options.PulsePeriod)} is {options.PulsePeriod}, more than 0 and at most half of {nameof(options.SilenceLimit)} {options.SilenceLimit}.", nameof(options));
        }

        if (options.ConnectTimeout <= TimeSpan.Zero) throw new ArgumentException($"{nameof(options.ConnectTimeout)} is {options.ConnectTimeout}, more than 0.", nameof(options));
        if (options.MaxFrameBytes is < 1 or > 1 << 30) throw new ArgumentException($"{nameof(options.MaxFrameBytes)} is {options.MaxFrameBytes}, 1 to {1 << 30}.", nameof(options));
        // Two, as a rank sends one chunk ahead of the one it awaits.
        if (options.Credits is < 2 or > 1024) throw new ArgumentException($"{nameof(options.Credits)} is {options.Credits}, 2 to 1024.", nameof(options));
    }
}

namespace Granary.Sharding.Links;

/// <summary>Opens links: over TCP, over a Unix socket within a host, or within a process.</summary>
/// <remarks>Endpoints are written <c>tcp://host:port</c>, <c>unix:/path</c> and <c>memory:name</c>.</remarks>
public interface ILinkTransport
{
    /// <summary>Listens for links of any replica of this silo.</summary>
    /// <exception cref="LinkException">The endpoint cannot be listened on.</exception>
    ILinkListener Listen(string endpoint);

    /// <summary>Connects to a peer and waits until it has accepted this very link.</summary>
    /// <exception cref="LinkException">The peer cannot be reached in time, or refuses.</exception>
    Task<ITensorLink> ConnectAsync(string endpoint, LinkIdentity identity, CancellationToken cancellationToken = default);
}

/// <summary>Where the peers of this silo's shards connect to.</summary>
public interface ILinkListener : IAsyncDisposable
{
    /// <summary>What peers connect to, as other hosts see it.</summary>
    string Endpoint { get; }

    /// <summary>Waits for the link with this identity; a dialer that is early waits for this call, within <see cref="LinkOptions.ConnectTimeout"/>.</summary>
    /// <exception cref="OperationCanceledException">Nobody came until then.</exception>
    Task<ITensorLink> AcceptAsync(LinkIdentity identity, CancellationToken cancellationToken = default);
}

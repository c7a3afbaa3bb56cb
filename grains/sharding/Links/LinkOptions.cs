namespace Granary.Sharding.Links;

/// <summary>Bounds of tensor links, and how ends trust each other. Equal on all silos of a cluster.</summary>
public sealed record LinkOptions
{
    /// <summary>Shared by all silos: who does not know it is refused. At least 16 bytes.</summary>
    public required byte[] ClusterSecret { get; init; }

    /// <summary>How often an end that has nothing to say says so.</summary>
    public TimeSpan PulsePeriod { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Longest time without a byte of the peer that a waiter bears.</summary>
    /// <value>Default 1.5 seconds: waiters are told within two, and an overfull machine seldom keeps a healthy peer from its pulses for so long.</value>
    public TimeSpan SilenceLimit { get; init; } = TimeSpan.FromSeconds(1.5);

    /// <summary>Longest time for connecting and for the handshake.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Largest payload of a frame.</summary>
    public int MaxFrameBytes { get; init; } = 256 << 20;

    /// <summary>Frames that may be under way and not yet read, each way.</summary>
    public int Credits { get; init; } = 8;

    /// <summary>Certificates for TLS; null for none. Unix sockets never use it.</summary>
    public LinkTls? Tls { get; init; }
}

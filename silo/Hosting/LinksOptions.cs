using Granary.Sharding.Links;

namespace Granary.Silo.Hosting;

/// <summary>Tensor links between the shards of partitioned replicas. Equal on all silos of a cluster, but for the endpoint.</summary>
public sealed class LinksOptions
{
    /// <summary>Where this silo's shards are reached: <c>tcp://host:port</c>, <c>unix:/path</c> or <c>memory:name</c>.</summary>
    /// <value>Default: a Unix socket of its own when the process is a cluster of its own, <c>tcp://HOST:0</c> (<see cref="ClusterOptions.Host"/>, a free port) in a cluster.</value>
    public string? Endpoint { get; set; }

    /// <summary>Shared by all silos of the cluster: whoever does not know it is refused. At least 16 bytes of UTF-8.</summary>
    /// <value>Default: drawn at start when the process is a cluster of its own; in a cluster partitioned replicas need it.</value>
    public string? Secret { get; set; }

    /// <summary>A file that holds the secret instead; white space at its end does not count.</summary>
    public string? SecretFile { get; set; }

    /// <summary>PEM certificate of this silo, for TLS over TCP; with <see cref="KeyFile"/> and <see cref="AuthoritiesFile"/>, or none of the three.</summary>
    public string? CertificateFile { get; set; }

    /// <summary>PEM private key of the certificate.</summary>
    public string? KeyFile { get; set; }

    /// <summary>PEM certificates of the issuers that a peer's certificate must come from.</summary>
    public string? AuthoritiesFile { get; set; }

    /// <summary>How residual streams and partial sums go over links: exact, or smaller.</summary>
    public WireFormat WireFormat { get; set; } = WireFormat.Float32;

    /// <summary>Frames that may be under way and not yet read, each way.</summary>
    public int Credits { get; set; } = 8;

    /// <summary>Longest time without a byte of a peer: it is lost then, and the replica's life ends.</summary>
    /// <value>Default 1500: waiters are told within two seconds, and an overfull machine seldom keeps a healthy silo from its pulses for so long.</value>
    public int SilenceMilliseconds { get; set; } = 1500;

    /// <summary>Longest wait for a step's result: shards that pulse but do not answer are lost then, and the replica's life ends.</summary>
    /// <value>Default 60. More than the longest step takes: of a large prefill on few cores, say.</value>
    public int StepTimeoutSeconds { get; set; } = 60;

    /// <summary>Longest time for connecting to a peer.</summary>
    public int ConnectSeconds { get; set; } = 5;
}

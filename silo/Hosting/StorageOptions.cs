namespace Granary.Silo.Hosting;

/// <summary>Where grains keep what must outlive a silo: sessions, stored responses and journals of streams.</summary>
public sealed class StorageOptions
{
    /// <summary>Redis that keeps it, as StackExchange.Redis reads it.</summary>
    /// <value>Default: the cluster's Redis, <see cref="ClusterOptions.Redis"/>; without either it is memory.</value>
    public string? Redis { get; set; }

    /// <summary>Longest that one reading or writing takes, connecting included; a grain whose state does not come fails to activate.</summary>
    /// <value>Default 2000: above a failover of Redis nobody waits, and calls of grains give up after 15 seconds.</value>
    public int TimeoutMilliseconds { get; set; } = 2000;

    /// <summary>Most bytes of one state; larger ones are not written.</summary>
    /// <value>Default 16 MiB: one value of Redis blocks it for all others while it is sent.</value>
    public int MaxValueBytes { get; set; } = 16 << 20;

    /// <summary>Seconds after its last writing until a state is dropped; 0 keeps it for good.</summary>
    /// <value>Default 40 days, the longest that a response may live. Sessions and responses end by themselves before, but for those whose silo did not come to it.</value>
    public int EntryLifetimeSeconds { get; set; } = 40 * 86_400;
}

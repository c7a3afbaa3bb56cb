namespace Granary.Engine.Kv.Tiers;

/// <summary>What slower memory than the device's has done for its cache. Written by the engine's thread.</summary>
internal sealed class TierCounters
{
    /// <summary>Tokens of blocks copied back to the device instead of being computed.</summary>
    public long Hits { get; set; }

    /// <summary>Bytes copied between tiers, either way.</summary>
    public long Bytes { get; set; }

    /// <summary>Memory that the host's copies may take.</summary>
    public long HostBytes { get; set; }

    /// <summary>Of those, touched so far: what a process uses shows these, and no others.</summary>
    public long HostBytesTouched { get; set; }

    /// <summary>Blocks whose checksum did not fit, or that could not be read: they were dropped and computed again.</summary>
    public long Corrupt { get; set; }

    /// <summary>Blocks that were not written to the disk because it is behind, or that it refused.</summary>
    public long Dropped { get; set; }
}

namespace Granary.Engine.Kv;

/// <summary>Changes of an engine's KV cache, in order: runs of blocks that were stored, for all sequences to find, or removed.</summary>
/// <remarks>
/// Every block stored or removed is one event; events are numbered from 0, without gaps. <see cref="First"/> to <see cref="Next"/> is what the batch
/// tells, a snapshot apart: that has all blocks held when <see cref="Next"/> was the number of the next event, as if stored.
/// </remarks>
public sealed record KvEventBatch
{
    /// <summary>Most events of a batch that is no snapshot.</summary>
    public const int MaxBlocks = 16_384;

    /// <summary>Number of the first event; of a snapshot, 0.</summary>
    public required long First { get; init; }

    /// <summary>What to read from next.</summary>
    public required long Next { get; init; }

    /// <summary>What was known before is void.</summary>
    public bool IsSnapshot { get; init; }

    /// <summary>In order; their counts add up to the number of <see cref="Blocks"/>.</summary>
    public KvEventRun[] Runs { get; init; } = [];

    /// <summary>Low halves of the blocks' names.</summary>
    public ulong[] Blocks { get; init; } = [];
}

/// <summary>So many events of one kind.</summary>
public readonly record struct KvEventRun(bool IsStored, KvBlockTier Tier, int Count);

/// <summary>Where a block's keys and values are. A block may be in several tiers; each tier tells of its own.</summary>
public enum KvBlockTier : byte
{
    /// <summary>On the device: nothing has to be moved.</summary>
    Device = 0,

    /// <summary>In the host's memory.</summary>
    Host = 1,

    /// <summary>On a disk of the host.</summary>
    Disk = 2,
}

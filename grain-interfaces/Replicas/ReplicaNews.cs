using Orleans;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>What a replica tells those who send requests to it: its load, and what has changed in its KV cache since they last heard.</summary>
[GenerateSerializer, Immutable, Alias("granary.replica-news")]
public sealed record ReplicaNews([property: Id(0)] ReplicaLoad Load, [property: Id(1)] KvEvents Kv);

/// <summary>How often who watches a replica hears of it.</summary>
public static class ReplicaWatch
{
    /// <summary>News are told no sooner than this after the last: what happens in between comes together.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest wait for news; who hears nothing for twice as long takes the replica for unreachable.</summary>
    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(1);
}

/// <summary>Changes of a KV cache, in order: runs of blocks that were stored or removed.</summary>
/// <remarks>
/// Every block that is stored or removed is one event; events are numbered from 1 in each life, without gaps. Who gets events that do not begin at the number
/// it expects has missed some, and asks from 0: then, as whenever the replica no longer has the events that were asked for, it gets a snapshot.
/// A snapshot of more than <see cref="MaxBlocks"/> blocks comes in pages. The first is the snapshot; each further one comes like events that store its blocks,
/// begins at what the one before said comes next, a negative number, and is told at once. Immutable by contract.
/// </remarks>
[GenerateSerializer, Immutable, Alias("granary.kv-events")]
public sealed record KvEvents
{
    /// <summary>Most blocks of one message: 2 MiB of names.</summary>
    public const int MaxBlocks = 1 << 18;

    /// <summary>Number of the first event; of a snapshot, 0.</summary>
    [Id(0)]
    public required long First { get; init; }

    /// <summary>Number of the event that will come next: what to ask for.</summary>
    [Id(1)]
    public required long Next { get; init; }

    /// <summary>All blocks that are held, as stored: what was known before is void.</summary>
    [Id(2)]
    public bool IsSnapshot { get; init; }

    /// <summary>In order; their counts add up to the number of <see cref="Blocks"/>.</summary>
    [Id(3)]
    public KvRun[] Runs { get; init; } = [];

    /// <summary>Names of the blocks, as <see cref="Routing.PromptBlocks"/> has them.</summary>
    [Id(4)]
    public ulong[] Blocks { get; init; } = [];
}

/// <summary>So many events of one kind.</summary>
[GenerateSerializer, Immutable, Alias("granary.kv-run")]
public readonly record struct KvRun([property: Id(0)] bool IsStored, [property: Id(1)] KvTier Tier, [property: Id(2)] int Count);

/// <summary>Where a block's keys and values are. A block may be in several tiers; each tier tells of its own.</summary>
[GenerateSerializer, Alias("granary.kv-tier")]
public enum KvTier : byte
{
    /// <summary>On the device: nothing has to be moved.</summary>
    Device = 0,

    /// <summary>In the host's memory.</summary>
    Host = 1,

    /// <summary>On a disk of the host.</summary>
    Disk = 2,
}

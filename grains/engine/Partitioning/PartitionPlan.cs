namespace Granary.Engine.Partitioning;

/// <summary>How a replica of a model is cut and where its shards go.</summary>
public sealed record PartitionPlan
{
    public required ModelShape Model { get; init; }

    /// <summary>P.</summary>
    public required int Stages { get; init; }

    /// <summary>T.</summary>
    public required int Ranks { get; init; }

    /// <summary>Tokens that the KV cache of the replica holds; every shard has room for its layers and heads of all of them.</summary>
    public required int KvTokens { get; init; }

    /// <summary>Predicted for a step of a few decoding sequences alone, through all stages.</summary>
    public double StepSeconds { get; init; }

    /// <summary>Predicted from one such step to the next where every stage has one; the slowest stage's.</summary>
    public double PeriodSeconds { get; init; }

    /// <summary>P × T, stage by stage, in each by rank.</summary>
    public required IReadOnlyList<ShardPlan> Shards { get; init; }

    public ShardPlan this[ShardPlace place] => Shards[place.Stage * Ranks + place.Rank];
}

/// <summary>One shard: what it holds, on which worker, and what that takes of the worker's memory.</summary>
/// <param name="Slice">What it holds.</param>
/// <param name="Worker">Key of the worker: <c>silo/device</c>.</param>
/// <param name="WeightBytes">As the device holds them.</param>
/// <param name="KvBytes">Of the KV cache.</param>
/// <param name="WorkspaceBytes">Activations of the largest step, and rows of logits.</param>
/// <param name="StepSeconds">Predicted for its stage's part of a step of a few decoding sequences.</param>
public sealed record ShardPlan(ShardSlice Slice, string Worker, long WeightBytes, long KvBytes, long WorkspaceBytes, double StepSeconds = 0)
{
    public long TotalBytes => WeightBytes + KvBytes + WorkspaceBytes;
}

/// <summary>A device that shards can be put on, as measured by its silo.</summary>
public sealed record WorkerInventory
{
    /// <summary>Key: <c>silo/device</c>.</summary>
    public required string Worker { get; init; }

    /// <summary><c>cpu</c>, <c>cuda</c> …: the execution provider's name.</summary>
    public required string DeviceKind { get; init; }

    public required string Silo { get; init; }

    /// <summary>The machine: shards of one host reach each other without a network.</summary>
    public required string Host { get; init; }

    /// <summary>Failure and latency domain; empty where none is configured.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Bytes that new shards may take.</summary>
    public required long FreeBytes { get; init; }

    /// <summary>Cores that new shards may take; a device that is not a CPU counts as one.</summary>
    public required int FreeCores { get; init; }

    /// <summary>Multiply-adds a second of one core, or of the device; 0 where it was not measured.</summary>
    public double FlopsPerSecond { get; init; }

    /// <summary>Bytes a second that it reads from its memory; 0 where it was not measured.</summary>
    public double BytesPerSecond { get; init; }
}

/// <summary>How a replica is to be cut; 0 leaves a number to the planner.</summary>
public sealed record PartitionRequest
{
    public int Stages { get; init; } = 1;

    public int Ranks { get; init; } = 1;

    /// <summary>Cores of each shard on a CPU.</summary>
    public int ThreadsPerShard { get; init; } = 1;

    /// <summary>Tokens of the KV cache, which is whole blocks; 0 takes what the memory allows, from those of one step to <see cref="MaxSequences"/> full contexts.</summary>
    public int KvTokens { get; init; }

    /// <summary>Tokens of a KV block.</summary>
    public int KvBlockTokens { get; init; } = PartitionPlanner.KvBlockTokens;

    /// <summary>Share of the memory left beside weights and workspace that a KV cache of open size may take; less leaves room for other replicas.</summary>
    public double KvShare { get; init; } = 1;

    /// <summary>Most tokens of a step, which decides the workspace.</summary>
    public int MaxTokensPerStep { get; init; } = 2048;

    /// <summary>Most rows of logits of a step.</summary>
    public int MaxLogitRows { get; init; } = 128;

    /// <summary>Most sequences that run at once.</summary>
    public int MaxSequences { get; init; } = 64;
}

/// <summary>A plan, or why there is none.</summary>
/// <param name="Plan">Null when nothing fits.</param>
/// <param name="Refusal">The arithmetic: what is needed, what is there, per worker; null when there is a plan.</param>
public sealed record PlanningResult(PartitionPlan? Plan, string? Refusal);

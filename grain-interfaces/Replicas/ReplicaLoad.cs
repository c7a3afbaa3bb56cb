using Orleans;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>What a replica is doing, and how fast its steps have been.</summary>
[GenerateSerializer, Immutable, Alias("granary.replica-load")]
public sealed record ReplicaLoad
{
    [Id(0)]
    public required long Epoch { get; init; }

    /// <summary>Sequences that take part in steps.</summary>
    [Id(1)]
    public int RunningSequences { get; init; }

    /// <summary>Sequences admitted and not yet running.</summary>
    [Id(2)]
    public int WaitingSequences { get; init; }

    /// <summary>Prompt tokens not yet computed, of running and waiting sequences.</summary>
    [Id(3)]
    public long PendingPrefillTokens { get; init; }

    [Id(4)]
    public int KvBlocksTotal { get; init; }

    /// <summary>Blocks referenced by sequences; blocks that only the prefix cache holds count as free.</summary>
    [Id(5)]
    public int KvBlocksUsed { get; init; }

    /// <summary>Steps executed in this life; a busy replica whose count stands still is not healthy.</summary>
    [Id(6)]
    public long Steps { get; init; }

    /// <summary>Smoothed seconds per prefill token, 0 until measured.</summary>
    [Id(7)]
    public double SecondsPerPrefillToken { get; init; }

    /// <summary>Smoothed seconds per step that only decodes, 0 until measured.</summary>
    [Id(8)]
    public double SecondsPerDecodeStep { get; init; }

    /// <summary>What each token before a prefill token adds to <see cref="SecondsPerPrefillToken"/>, so that a prompt's cost grows with its context; 0 until measured.</summary>
    [Id(9)]
    public double SecondsPerPrefillContext { get; init; }

    /// <summary>Seconds that <see cref="PendingPrefillTokens"/> will take at these speeds, each at its own context.</summary>
    [Id(10)]
    public double PendingPrefillSeconds { get; init; }

    /// <summary>The longest of the recent steps, or what those in flight should take by their tokens where that is longer; 0 before the first.</summary>
    [Id(11)]
    public double LongestStepSeconds { get; init; }

    /// <summary>How long the oldest step in flight has been running; 0 where none is. Far beyond <see cref="LongestStepSeconds"/> the device hangs.</summary>
    [Id(12)]
    public double StepAgeSeconds { get; init; }

    /// <summary>It takes nothing new and will end.</summary>
    [Id(13)]
    public bool IsDraining { get; init; }
}

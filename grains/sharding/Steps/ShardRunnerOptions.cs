using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>How a shard runs.</summary>
public sealed record ShardRunnerOptions
{
    /// <summary>How residual streams and partial sums go over links. Equal on all shards of a replica.</summary>
    public WireFormat WireFormat { get; init; } = WireFormat.Float32;

    /// <summary>What the executor was opened with, where its stage has more than one rank.</summary>
    public RankReducerSlot? Reducer { get; init; }

    /// <summary>Longest time from the start until the engine has dialed.</summary>
    /// <value>Default 60 seconds: the other shards may still be connecting.</value>
    public TimeSpan EngineLimit { get; init; } = TimeSpan.FromSeconds(60);
}

using Granary.Engine.Partitioning;

namespace Granary.Sharding.Links;

/// <summary>Which link this is: both ends must name the same one, or there is none.</summary>
/// <param name="ReplicaId">The replica whose shards it joins.</param>
/// <param name="Epoch">The replica's life; a link of another life is refused.</param>
/// <param name="Dialer">The shard that connects; for <see cref="LinkPurpose.Control"/> the leader's engine, named by the leader's place.</param>
/// <param name="Acceptor">The shard that listens.</param>
/// <param name="Purpose">What flows over it.</param>
public sealed record LinkIdentity(string ReplicaId, long Epoch, ShardPlace Dialer, ShardPlace Acceptor, LinkPurpose Purpose);

/// <summary>What flows over a link. Each has a link of its own, so that no reader finds what is meant for another.</summary>
public enum LinkPurpose
{
    /// <summary>The engine's plans to a shard, and the shard's results back.</summary>
    Control = 1,

    /// <summary>The residual stream from a stage to the next, rank by rank.</summary>
    Activations = 2,

    /// <summary>Partial sums between two ranks of a stage, both ways.</summary>
    Reduction = 3,
}

using Orleans;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>How a replica is cut into P stages of T ranks, and the workers of its shards.</summary>
/// <param name="LayersPerStage">[P]: layers of each stage, in order.</param>
/// <param name="Ranks">T.</param>
/// <param name="Workers">[P × T]: keys of the workers, stage by stage, in each by rank. The first is the leader's.</param>
[GenerateSerializer, Immutable, Alias("granary.replica-layout")]
public sealed record ReplicaLayout([property: Id(0)] int[] LayersPerStage, [property: Id(1)] int Ranks, [property: Id(2)] string[] Workers)
{
    /// <summary>P.</summary>
    public int Stages => LayersPerStage.Length;

    // Arrays are compared by content: a layout that is planned again and comes out the same is the same.
    public bool Equals(ReplicaLayout? other) =>
        other is not null && Ranks == other.Ranks && LayersPerStage.AsSpan().SequenceEqual(other.LayersPerStage) && Workers.AsSpan().SequenceEqual(other.Workers);

    public override int GetHashCode() => HashCode.Combine(Ranks, LayersPerStage.Length, Workers.Length, Workers.FirstOrDefault());
}

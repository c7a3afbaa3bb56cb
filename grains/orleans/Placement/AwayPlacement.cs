using Orleans;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Granary.Grains.Placement;

/// <summary>Places a grain on another silo than its caller's, so that it outlives the caller; on the caller's where there is no other.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class AwayPlacementAttribute() : PlacementAttribute(new AwayPlacement());

[GenerateSerializer, Immutable]
internal sealed class AwayPlacement : PlacementStrategy;

/// <summary>Takes one of the other silos by the highest weight of grain and silo: keys spread evenly, and two callers mean the same silo.</summary>
/// <remarks>It runs on the caller's silo: that is the local one. But a call that was forwarded is placed by the silo that forwards it.</remarks>
internal sealed class AwayDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        var key = target.GrainIdentity.GetUniformHashCode();
        var others = silos.Where(silo => !silo.Equals(context.LocalSilo)).ToArray();
        return Task.FromResult(others.Length == 0 ? context.LocalSilo : others.MaxBy(silo => Weight(key, silo))!);
    }

    /// <summary>The finalizer of SplitMix64 (Steele et al., 2014) over both.</summary>
    private static ulong Weight(uint key, SiloAddress silo)
    {
        var value = ((ulong)key << 32 | (uint)silo.GetConsistentHashCode()) + 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

using Granary.GrainInterfaces.Cluster;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Granary.Grains.Placement;

/// <summary>Places a grain on the silo that its key names (<see cref="GrainKeys.SiloOf"/>), whoever calls it; where it names none, near the caller.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class HomePlacementAttribute() : PlacementAttribute(new HomePlacement());

[GenerateSerializer, Immutable]
internal sealed class HomePlacement : PlacementStrategy;

/// <summary>Finds the silo by its name in the membership: what every silo knows without asking another.</summary>
/// <remarks>What a silo that has just joined can host is told later than that it is active: nobody else can have its grains, so that is not asked.</remarks>
internal sealed class HomeDirector(IClusterMembershipService membership) : IPlacementDirector
{
    /// <exception cref="SiloUnavailableException">No active silo has that name; the message says which have one.</exception>
    public async Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var key = target.GrainIdentity.Key.ToString();
        var silo = GrainKeys.SiloOf(key).ToString();
        if (silo.Length == 0) return Anywhere(target, context);
        if (ActiveSilos.Of(membership.CurrentSnapshot).Find(silo) is { } home) return home;
        // A silo that has just joined may not have been heard of yet. One look at the table decides.
        await membership.Refresh();
        return ActiveSilos.Of(membership.CurrentSnapshot).Find(silo) ?? throw new SiloUnavailableException(
            $"Grain '{key}' belongs to silo '{silo}', which is not active; active are: {string.Join(", ", ActiveNames())}.");
    }

    /// <summary>Here if that is possible; else where the key falls, so that many keys spread.</summary>
    private static SiloAddress Anywhere(in PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        if (silos.Contains(context.LocalSilo)) return context.LocalSilo;
        Array.Sort(silos);
        return silos[(int)(target.GrainIdentity.GetUniformHashCode() % (uint)silos.Length)];
    }

    private IEnumerable<string> ActiveNames() =>
        membership.CurrentSnapshot.ActiveSilos().Order(StringComparer.Ordinal);
}

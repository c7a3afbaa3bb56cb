using Orleans.Runtime.Placement;

namespace Orleans.Runtime;

/// <summary>A director that follows the hint of the request context before it decides itself.</summary>
internal abstract class HintedDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        return Task.FromResult(IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) ?? Choose(silos, target, context));
    }

    protected abstract SiloAddress Choose(SiloAddress[] silos, PlacementTarget target, IPlacementContext context);
}

internal sealed class RandomDirector(SiloRuntime silo) : HintedDirector
{
    protected override SiloAddress Choose(SiloAddress[] silos, PlacementTarget target, IPlacementContext context)
    {
        lock (silo.Random)
        {
            return silos[silo.Random.Next(silos.Length)];
        }
    }
}

internal sealed class PreferLocalDirector(SiloRuntime silo) : HintedDirector
{
    protected override SiloAddress Choose(SiloAddress[] silos, PlacementTarget target, IPlacementContext context)
    {
        if (silos.Contains(context.LocalSilo)) return context.LocalSilo;
        lock (silo.Random)
        {
            return silos[silo.Random.Next(silos.Length)];
        }
    }
}

internal sealed class HashDirector : HintedDirector
{
    protected override SiloAddress Choose(SiloAddress[] silos, PlacementTarget target, IPlacementContext context)
    {
        Array.Sort(silos);
        return silos[(int)(target.GrainIdentity.GetUniformHashCode() % (uint)silos.Length)];
    }
}

/// <summary>The silo with the fewest activations, the oldest among equals.</summary>
internal sealed class ActivationCountDirector(SiloRuntime silo) : HintedDirector
{
    protected override SiloAddress Choose(SiloAddress[] silos, PlacementTarget target, IPlacementContext context) =>
        silos.OrderBy(address => silo.Cluster.SiloAt(address)!.ActivationCount).ThenBy(address => address).First();
}

internal sealed class StatelessWorkerDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        return Task.FromResult(silos.Contains(context.LocalSilo) ? context.LocalSilo : silos[0]);
    }
}

using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Metadata;
using Orleans.Placement;
using Orleans.Runtime.Placement;

namespace Orleans.Runtime;

/// <summary>Chooses silos for new activations on behalf of one silo: filters first, then the class's strategy.</summary>
internal sealed class PlacementService(SiloRuntime silo) : IPlacementContext
{
    private readonly ConcurrentDictionary<GrainClass, PlacementStrategy> _strategies = new();
    private readonly ConcurrentDictionary<GrainClass, PlacementFilterStrategy[]> _filters = new();

    public SiloAddress LocalSilo => silo.Address;

    public SiloStatus LocalSiloStatus => silo.Status;

    public PlacementStrategy StrategyOf(GrainClass grainClass) => _strategies.GetOrAdd(grainClass, ResolveStrategy);

    public async ValueTask<SiloRuntime> PlaceAsync(GrainClass grainClass, PlacementTarget target)
    {
        var strategy = StrategyOf(grainClass);
        var director = silo.Services.GetRequiredKeyedService<IPlacementDirector>(strategy.GetType());
        var address = await director.OnAddActivation(strategy, target, this).ConfigureAwait(false);
        return silo.Cluster.SiloAt(address) ?? throw new OrleansException($"{director.GetType().Name} placed {target.GrainIdentity} on {address}, which is no silo of the cluster.");
    }

    public SiloAddress[] GetCompatibleSilos(PlacementTarget target)
    {
        IEnumerable<SiloAddress> silos = silo.Cluster.ActiveSilos.Select(other => other.Address);
        foreach (var filter in _filters.GetOrAdd(GrainInterfaces.ClassOf(target.GrainIdentity.Type), ResolveFilters))
        {
            silos = silo.Services.GetRequiredKeyedService<IPlacementFilterDirector>(filter.GetType()).Filter(filter, target, silos);
        }

        SiloAddress[] compatible = [.. silos];
        return compatible.Length > 0 ? compatible
            : throw new OrleansException($"TypeName not supported by any silo: {target.GrainIdentity} has no compatible silo among {silo.Cluster.ActiveSilos.Length} active ones.");
    }

    public IReadOnlyDictionary<ushort, SiloAddress[]> GetCompatibleSilosWithVersions(PlacementTarget target) =>
        new Dictionary<ushort, SiloAddress[]> { [0] = GetCompatibleSilos(target) };

    private PlacementStrategy ResolveStrategy(GrainClass grainClass)
    {
        var properties = grainClass.Properties(silo.Services);
        if (!properties.Properties.TryGetValue(WellKnownGrainTypeProperties.PlacementStrategy, out var name))
        {
            return silo.Services.GetService<PlacementStrategy>() ?? RandomPlacement.Singleton;
        }

        var strategy = silo.Services.GetKeyedService<PlacementStrategy>(name) ?? throw new KeyNotFoundException($"Could not resolve placement strategy {name} for grain type {grainClass.GrainType}.");
        strategy.Initialize(properties);
        return strategy;
    }

    private PlacementFilterStrategy[] ResolveFilters(GrainClass grainClass)
    {
        var properties = grainClass.Properties(silo.Services);
        if (!properties.Properties.TryGetValue(WellKnownGrainTypeProperties.PlacementFilter, out var names)) return [];
        PlacementFilterStrategy[] filters = [.. names.Split(',').Select(name =>
        {
            var filter = silo.Services.GetKeyedService<PlacementFilterStrategy>(name) ?? throw new KeyNotFoundException($"Could not resolve placement filter strategy {name} for grain type {grainClass.GrainType}.");
            filter.Initialize(properties);
            return filter;
        }).OrderBy(filter => filter.Order)];
        return filters.DistinctBy(filter => filter.Order).Count() == filters.Length ? filters
            : throw new InvalidOperationException($"Placement filters of {grainClass.GrainType} have to have different orders.");
    }
}

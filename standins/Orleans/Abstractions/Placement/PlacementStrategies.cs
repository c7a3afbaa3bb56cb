using System.Globalization;
using Orleans.Metadata;

namespace Orleans.Runtime;

/// <summary>How a grain's silo is chosen; directors carry strategies out.</summary>
[Serializable, SerializerTransparent]
public abstract class PlacementStrategy
{
    public virtual bool IsUsingGrainDirectory => true;

    public virtual void Initialize(GrainProperties properties)
    {
    }

    public virtual void PopulateGrainProperties(IServiceProvider services, Type grainClass, GrainType grainType, Dictionary<string, string> properties) =>
        properties[WellKnownGrainTypeProperties.PlacementStrategy] = GetType().Name;
}

[GenerateSerializer, Immutable]
public sealed class RandomPlacement : PlacementStrategy
{
    internal static RandomPlacement Singleton { get; } = new();
}

[GenerateSerializer, Immutable]
public sealed class PreferLocalPlacement : PlacementStrategy
{
    internal static PreferLocalPlacement Singleton { get; } = new();
}

[GenerateSerializer, Immutable]
public sealed class HashBasedPlacement : PlacementStrategy
{
    internal static HashBasedPlacement Singleton { get; } = new();
}

[GenerateSerializer, Immutable]
public sealed class ActivationCountBasedPlacement : PlacementStrategy
{
    internal static ActivationCountBasedPlacement Singleton { get; } = new();
}

[GenerateSerializer, Immutable]
public sealed class ResourceOptimizedPlacement : PlacementStrategy
{
    internal static ResourceOptimizedPlacement Singleton { get; } = new();
}

[GenerateSerializer, Immutable]
internal sealed class StatelessWorkerPlacement : PlacementStrategy
{
    private const string MaxLocalKey = "max-local";
    private static readonly int DefaultMaxLocal = Environment.ProcessorCount;

    public StatelessWorkerPlacement()
        : this(-1)
    {
    }

    internal StatelessWorkerPlacement(int maxLocal, bool removeIdleWorkers = true)
    {
        MaxLocal = maxLocal > 0 ? maxLocal : DefaultMaxLocal;
        RemoveIdleWorkers = removeIdleWorkers;
    }

    public int MaxLocal { get; private set; }

    internal bool RemoveIdleWorkers { get; }

    public override bool IsUsingGrainDirectory => false;

    public override void Initialize(GrainProperties properties)
    {
        base.Initialize(properties);
        if (properties.Properties.TryGetValue(MaxLocalKey, out var value)) MaxLocal = int.Parse(value, CultureInfo.InvariantCulture);
    }

    public override void PopulateGrainProperties(IServiceProvider services, Type grainClass, GrainType grainType, Dictionary<string, string> properties)
    {
        base.PopulateGrainProperties(services, grainClass, grainType, properties);
        properties[MaxLocalKey] = MaxLocal.ToString(CultureInfo.InvariantCulture);
    }
}

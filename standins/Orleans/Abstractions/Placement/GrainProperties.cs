using System.Collections.Immutable;
using Orleans.Runtime;

namespace Orleans.Metadata;

/// <summary>What is known of a grain class, by name.</summary>
public sealed class GrainProperties
{
    public GrainProperties(ImmutableDictionary<string, string> values) => Properties = values;

    public ImmutableDictionary<string, string> Properties { get; }
}

/// <summary>An attribute that contributes to a grain class's properties.</summary>
public interface IGrainPropertiesProviderAttribute
{
    void Populate(IServiceProvider services, Type grainClass, GrainType grainType, Dictionary<string, string> properties);
}

public static class WellKnownGrainTypeProperties
{
    public const string PlacementStrategy = "placement-strategy";
    public const string PlacementFilter = "placement-filter";
    public const string Reentrant = "reentrant";
    public const string MayInterleavePredicate = "may-interleave-predicate";
    public const string IdleDeactivationPeriod = "idle-duration";
    public const string IndefiniteIdleDeactivationPeriodValue = "indefinite";
    public const string Immovable = "immovable";
    public const string Unordered = "unordered";
    public const string FullTypeName = "full-type-name";
    public const string TypeName = "type-name";
}

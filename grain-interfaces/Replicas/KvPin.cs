using Orleans;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>A prefix whose KV a replica is asked to keep.</summary>
[GenerateSerializer, Immutable, Alias("granary.kv-pin")]
public sealed record KvPin
{
    /// <summary>Who keeps it, as a session's key. Each has one pin: the next replaces it.</summary>
    [Id(0)]
    public required string Owner { get; init; }

    [Id(1)]
    public required int[] TokenIds { get; init; }

    [Id(2)]
    public string? CacheSalt { get; init; }

    /// <summary>How long it is kept, above 0, at most a day.</summary>
    [Id(3)]
    public required TimeSpan Lease { get; init; }
}

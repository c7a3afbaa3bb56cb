using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.GrainInterfaces.Sessions;

/// <summary>What a session tells of itself.</summary>
[GenerateSerializer, Immutable, Alias("granary.session-info")]
public sealed record SessionInfo
{
    /// <summary>The model of the last turn.</summary>
    [Id(0)]
    public required string Model { get; init; }

    /// <summary>Turns that were committed, those taken over from another session included.</summary>
    [Id(1)]
    public required int Turns { get; init; }

    /// <summary>Tokens of the last turn's prompt and answer.</summary>
    [Id(2)]
    public required int HistoryTokens { get; init; }

    [Id(3)]
    public required string LastTurnId { get; init; }

    /// <summary>The life that holds its KV, as far as is known.</summary>
    [Id(4)]
    public ReplicaLife? Owner { get; init; }

    /// <summary>Leading tokens that the owner keeps for it until <see cref="PinnedUntil"/>.</summary>
    [Id(5)]
    public int PinnedTokens { get; init; }

    /// <summary>When the owner may let them go; null where nothing is pinned.</summary>
    [Id(6)]
    public DateTimeOffset? PinnedUntil { get; init; }

    [Id(7)]
    public required DateTimeOffset CreatedAt { get; init; }

    [Id(8)]
    public required DateTimeOffset UsedAt { get; init; }

    /// <summary>When it ends if nobody uses it.</summary>
    [Id(9)]
    public required DateTimeOffset ExpiresAt { get; init; }

    /// <summary>Grows with every change.</summary>
    [Id(10)]
    public required long Version { get; init; }

    /// <summary>Key of the session it branched from; null where it did not.</summary>
    [Id(11)]
    public string? ForkedFrom { get; init; }
}

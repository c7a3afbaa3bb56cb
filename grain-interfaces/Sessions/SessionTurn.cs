using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.GrainInterfaces.Sessions;

/// <summary>What a turn that begins is told.</summary>
/// <param name="Fence">Goes back with the commit: what was closed after it was told takes no commit of it.</param>
/// <param name="Owner">The life that holds the KV of the last turn; null where none is known.</param>
/// <param name="IsBehindLast">Whether the turn goes on from the session's last one. Where it does not, it is a branch.</param>
[GenerateSerializer, Immutable, Alias("granary.session-turn-start")]
public sealed record SessionTurnStart([property: Id(0)] long Fence, [property: Id(1)] ReplicaLife? Owner, [property: Id(2)] bool IsBehindLast);

/// <summary>What one turn read and said.</summary>
[GenerateSerializer, Immutable, Alias("granary.session-turn")]
public sealed record SessionTurn
{
    /// <summary>From <see cref="SessionTurnStart"/>; 0 for a turn that was told nothing.</summary>
    [Id(0)]
    public required long Fence { get; init; }

    /// <summary>Names the turn: the response's id.</summary>
    [Id(1)]
    public required string TurnId { get; init; }

    [Id(2)]
    public required string Model { get; init; }

    /// <summary>Ids of the prompt and of the answer: the next turn's prompt begins with nearly all of them.</summary>
    [Id(3)]
    public required int[] TokenIds { get; init; }

    /// <summary>The salt of the cache that the ids are in.</summary>
    [Id(4)]
    public string? CacheSalt { get; init; }

    /// <summary>The life that computed it; null where that is not known.</summary>
    [Id(5)]
    public ReplicaLife? Owner { get; init; }

    /// <summary>Key of the session that this one branched from with this turn; null where it did not.</summary>
    [Id(6)]
    public string? ForkedFrom { get; init; }
}

/// <summary>What a branch takes over, by value: what becomes of either side is nothing to the other.</summary>
[GenerateSerializer, Immutable, Alias("granary.session-branch")]
public sealed record SessionBranch
{
    [Id(0)]
    public required string Model { get; init; }

    [Id(1)]
    public required int[] TokenIds { get; init; }

    [Id(2)]
    public string? CacheSalt { get; init; }

    [Id(3)]
    public required int Turns { get; init; }

    [Id(4)]
    public required string LastTurnId { get; init; }

    /// <summary>Where the common prefix is cached.</summary>
    [Id(5)]
    public ReplicaLife? Owner { get; init; }

    /// <summary>Key of the session it comes from.</summary>
    [Id(6)]
    public required string ForkedFrom { get; init; }
}

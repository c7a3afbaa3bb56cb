using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.Grains.Sessions;

/// <summary>What is written, once a turn.</summary>
[GenerateSerializer, Alias("granary.session-state")]
internal sealed class SessionState
{
    /// <summary>The form that this program writes; it reads older ones.</summary>
    public const int CurrentFormat = 1;

    /// <summary>The form that it was written in. Members are added and never change their meaning; what an older program would misread gets a new number.</summary>
    [Id(0)]
    public int Format { get; set; }

    /// <summary>Grows with every change, and over the session's end.</summary>
    [Id(1)]
    public long Version { get; set; }

    /// <summary>The version at which it was closed last: turns that began before are not taken. 0 where it never was.</summary>
    [Id(2)]
    public long ClosedVersion { get; set; }

    /// <summary>Null where there is no session.</summary>
    [Id(3)]
    public SessionRecord? Session { get; set; }

    /// <summary>When the session ends, or what is remembered of its end.</summary>
    [Id(4)]
    public DateTimeOffset ExpiresAt { get; set; }
}

/// <summary>A session as its last turn left it.</summary>
[GenerateSerializer, Immutable, Alias("granary.session-record")]
internal sealed record SessionRecord
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

    [Id(5)]
    public ReplicaLife? Owner { get; init; }

    [Id(6)]
    public required DateTimeOffset CreatedAt { get; init; }

    [Id(7)]
    public required DateTimeOffset UsedAt { get; init; }

    [Id(8)]
    public string? ForkedFrom { get; init; }
}

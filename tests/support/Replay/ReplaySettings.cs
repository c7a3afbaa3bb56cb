using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.Routing;
using Granary.Routing.Policies;

namespace Granary.Tests.Support.Replay;

/// <summary>A cluster to replay a trace in.</summary>
public sealed record ReplaySettings
{
    public string Policy { get; init; } = RoutingPolicies.Default;

    /// <summary>Of policies that choose by chance.</summary>
    public int Seed { get; init; } = 1;

    public int Replicas { get; init; } = 8;

    /// <summary>Requests go to one after the other; each knows only what it sent itself, and what replicas tell.</summary>
    public int Routers { get; init; } = 2;

    public int BlocksPerReplica { get; init; } = 1250;

    public int ContextLength { get; init; } = 262_144;

    public DeviceCosts Costs { get; init; } = DeviceCosts.Llama8BOnH100;

    public EngineOptions Engine { get; init; } = new() { MaxTokensPerStep = 8192, MaxRunningSequences = 256 };

    public RoutingSettings Routing { get; init; } = new();

    /// <summary>One way of a message.</summary>
    public double HopSeconds { get; init; } = 0.0005;

    /// <summary>When all routers are lost at once and begin again with nothing; null for never.</summary>
    public double? RoutersLostAt { get; init; }

    /// <summary>When replicas are killed, and which.</summary>
    public IReadOnlyList<(double At, int Replica)> Kills { get; init; } = [];

    /// <summary>From a kill until its streams are found lost.</summary>
    public double DetectionSeconds { get; init; } = 0.7;

    /// <summary>From a kill until the replica's next life.</summary>
    public double RestartSeconds { get; init; } = 2;
}

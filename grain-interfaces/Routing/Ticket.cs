using Orleans;

namespace Granary.GrainInterfaces.Routing;

/// <summary>What the router needs to know of a request.</summary>
[GenerateSerializer, Immutable, Alias("granary.route-request")]
public sealed record RouteRequest
{
    [Id(0)]
    public required string RequestId { get; init; }

    /// <summary>Tokens of the prompt.</summary>
    [Id(1)]
    public required int PromptTokens { get; init; }

    /// <summary>Most tokens that may be generated.</summary>
    [Id(2)]
    public required int MaxTokens { get; init; }

    /// <summary>Hash of the prompt's first blocks; equal prefixes hash alike, so that they stay together when loads tie.</summary>
    [Id(3)]
    public ulong PrefixHash { get; init; }

    /// <summary>Lives of replicas that already refused or lost this request.</summary>
    [Id(4)]
    public ReplicaLife[] Excluded { get; init; } = [];

    /// <summary>Requests of one group go to one replica as long as it takes them (<see cref="GenerateRequest.Group"/>); null for none.</summary>
    [Id(5)]
    public string? Group { get; init; }

    /// <summary>Those of <see cref="Excluded"/> that were lost and did not just refuse: nobody is sent there before they have answered again.</summary>
    [Id(6)]
    public ReplicaLife[] Lost { get; init; } = [];

    /// <summary>Names of the prompt's full blocks of <see cref="BlockTokens"/> in order (<see cref="PromptBlocks.Of"/>): what replicas may have in their caches.</summary>
    [Id(7)]
    public ulong[] Blocks { get; init; } = [];

    /// <summary>Tokens of a block. Replicas with blocks of another size count as having nothing; a ticket tells theirs.</summary>
    [Id(8)]
    public int BlockTokens { get; init; } = PromptBlocks.DefaultTokens;

    /// <summary>Names the whole prompt (<see cref="PromptBlocks.Fingerprint"/>): a request that ended replicas is known by it.</summary>
    [Id(9)]
    public ulong Fingerprint { get; init; }

    /// <summary>The booking's, drawn by the caller, anew for each ticket: asked again with the same id, a router answers with the same booking, and books nothing twice.</summary>
    /// <remarks>Empty has the router draw one; then only its answer tells what to give back.</remarks>
    [Id(10)]
    public Guid BookingId { get; init; }
}

/// <summary>One life of one replica.</summary>
[GenerateSerializer, Immutable, Alias("granary.replica-life")]
public readonly record struct ReplicaLife([property: Id(0)] string ReplicaId, [property: Id(1)] long Epoch);

/// <summary>The router's answer: where to go, and the booking to give back afterwards.</summary>
[GenerateSerializer, Immutable, Alias("granary.ticket")]
public sealed record Ticket
{
    [Id(0)]
    public required Guid BookingId { get; init; }

    /// <summary>The replica and the life it was in when it was picked.</summary>
    [Id(1)]
    public required ReplicaLife Replica { get; init; }

    /// <summary>Predicted seconds until the request's first token.</summary>
    [Id(2)]
    public double PredictedWaitSeconds { get; init; }

    /// <summary>Leading prompt tokens that the replica is expected to have in its cache.</summary>
    [Id(3)]
    public int ExpectedCachedTokens { get; init; }

    /// <summary>Tokens of the replica's blocks: the next request names its blocks in that size.</summary>
    [Id(4)]
    public int BlockTokens { get; init; } = PromptBlocks.DefaultTokens;
}

/// <summary>A replica that can be routed to.</summary>
[GenerateSerializer, Immutable, Alias("granary.replica-descriptor")]
public sealed record ReplicaDescriptor
{
    [Id(0)]
    public required ReplicaLife Replica { get; init; }

    /// <summary>Tokens its KV cache holds.</summary>
    [Id(1)]
    public required long KvCapacityTokens { get; init; }

    /// <summary>Most tokens of prompt and answer together.</summary>
    [Id(2)]
    public required int ContextLength { get; init; }

    /// <summary>Tokens of a KV block.</summary>
    [Id(3)]
    public int BlockTokens { get; init; } = PromptBlocks.DefaultTokens;
}

/// <summary>The router's view of its replicas.</summary>
[GenerateSerializer, Immutable, Alias("granary.router-snapshot")]
public sealed record RouterSnapshot([property: Id(0)] RoutedReplica[] Replicas);

/// <summary>One replica as the router sees it.</summary>
[GenerateSerializer, Immutable, Alias("granary.routed-replica")]
public sealed record RoutedReplica(
    [property: Id(0)] ReplicaLife Replica, [property: Id(1)] int BookedRequests, [property: Id(2)] Replicas.ReplicaLoad? Load)
{
    /// <summary>False from an answer that did not come, or from a loss, until the answer to a later question.</summary>
    [Id(3)]
    public bool IsReachable { get; init; } = true;

    /// <summary>Blocks of its cache that the router knows of, in all tiers.</summary>
    [Id(4)]
    public long KnownBlocks { get; init; }

    /// <summary>How long ago it was last heard of; null before the first answer.</summary>
    [Id(5)]
    public double? LagSeconds { get; init; }
}

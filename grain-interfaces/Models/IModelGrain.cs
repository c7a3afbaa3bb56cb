using Granary.GrainInterfaces.Routing;
using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Models;

/// <summary>The control plane of one model: which replicas it should have, and where. Key: the model's name.</summary>
/// <remarks>Never on the way of a request. Calls do not wait for one another: a replica that takes long to load delays nobody else's.</remarks>
[Alias("granary.model")]
public interface IModelGrain : IGrainWithStringKey
{
    /// <summary>Brings the model to the wanted number of replicas and tells whoever watches it. Repeating it changes nothing.</summary>
    /// <remarks>
    /// What is wanted stays wanted: a replica that could not be loaded, or that ended, is tried again with growing pauses.
    /// Without <see cref="DeploymentSpec.Offer"/> it replaces all that was wanted; with it, one silo's share.
    /// </remarks>
    /// <exception cref="Errors.ModelLoadException">A replica cannot be loaded; those loaded before stay.</exception>
    /// <exception cref="Errors.RequestRefusedException">A value of the spec is out of its bounds; nothing was changed.</exception>
    [AlwaysInterleave, ResponseTimeout("00:30:00"), Alias("deploy")]
    Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default);

    /// <summary>What is wanted and what is there, told at once even while a replica is being loaded.</summary>
    [AlwaysInterleave, Alias("status")]
    Task<ModelStatus> GetStatusAsync(CancellationToken cancellationToken = default);

    /// <summary>Waits until the status is another than the caller knows, at most <see cref="ModelWatch.Heartbeat"/>, and tells it.</summary>
    /// <param name="known"><see cref="ModelStatus.Version"/> of the last answer; <see cref="ModelWatch.Nothing"/> is answered at once.</param>
    /// <exception cref="Errors.ModelNotReadyException">The activation ends, or too many watch; ask again.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:15"), Alias("watch")]
    Task<ModelStatus> WatchAsync(long known, CancellationToken cancellationToken = default);

    /// <summary>A request ended replicas: its fingerprint is told to all routers, which refuse it for <see cref="ModelWatch.Quarantine"/>.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("quarantine")]
    Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default);

    /// <summary>What the model is, to whoever wants to ask it.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No silo of the cluster has opened it yet.</exception>
    [AlwaysInterleave, Alias("card")]
    Task<ModelCard> GetCardAsync(CancellationToken cancellationToken = default);

    /// <summary>The files to tokenize with, megabytes: ask once and keep them by fingerprint.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No silo of the cluster has opened it yet.</exception>
    [AlwaysInterleave, Alias("text-files")]
    Task<ModelTextFiles> GetTextFilesAsync(CancellationToken cancellationToken = default);

    /// <summary>A worker tells that a replica's life takes nothing new and will end, as when a silo stops. Where there is room for another meanwhile, it is loaded at once.</summary>
    [AlwaysInterleave, Alias("report-draining")]
    Task ReportDrainingAsync(ReplicaLife life, CancellationToken cancellationToken = default);

    /// <summary>A worker tells that a replica's life ended by a failure; lives that are not the current one are ignored.</summary>
    [AlwaysInterleave, Alias("report-ended")]
    Task ReportEndedAsync(ReplicaLife life, string reason, CancellationToken cancellationToken = default);
}

/// <summary>Bounds of watching a model.</summary>
public static class ModelWatch
{
    /// <summary>What somebody knows who was told nothing.</summary>
    public const long Nothing = -1;

    /// <summary>Longest wait for a change.</summary>
    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(10);

    /// <summary>How long a request that ended replicas is refused.</summary>
    public static readonly TimeSpan Quarantine = TimeSpan.FromMinutes(10);
}

/// <summary>How a model is to be served.</summary>
/// <param name="Replicas">How many; whole ones are spread over <paramref name="Workers"/> in turn, partitioned ones where the planner puts their shards.</param>
/// <param name="Workers">Keys of the workers to use; for partitioned replicas empty means all of the cluster.</param>
/// <param name="IntraOpThreadsPerReplica">Cores for each replica's engine; of a partitioned one, for each shard.</param>
/// <param name="KvBlocksPerReplica">KV blocks of each replica; 0 lets the worker, or the planner, choose.</param>
/// <param name="Stages">Pipeline stages of each replica; 0 lets the planner choose.</param>
/// <param name="Ranks">Tensor ranks of each stage; 0 lets the planner choose.</param>
[GenerateSerializer, Immutable, Alias("granary.deployment-spec")]
public sealed record DeploymentSpec(
    [property: Id(0)] int Replicas, [property: Id(1)] string[] Workers,
    [property: Id(2)] int IntraOpThreadsPerReplica, [property: Id(3)] int KvBlocksPerReplica,
    [property: Id(4)] int Stages = 1, [property: Id(5)] int Ranks = 1)
{
    /// <summary>The silo whose share this is: what is wanted is the union of all shares, and a share goes with its silo. Null: this is all that is wanted.</summary>
    /// <remarks>Shares are whole replicas on that silo's own workers.</remarks>
    [Id(6)]
    public string? Offer { get; init; }

    /// <summary>Every replica is one piece on one of <see cref="Workers"/>; no planner is asked.</summary>
    public bool IsWhole => Stages == 1 && Ranks == 1;
}

/// <summary>A model's replicas.</summary>
[GenerateSerializer, Immutable, Alias("granary.model-status")]
public sealed record ModelStatus([property: Id(0)] string Model, [property: Id(1)] int WantedReplicas, [property: Id(2)] ReplicaDescriptor[] Replicas)
{
    /// <summary>Replicas that are wanted and not there.</summary>
    [Id(3)]
    public MissingReplica[] Missing { get; init; } = [];

    /// <summary>Silos whose shares are wanted.</summary>
    [Id(4)]
    public string[] Offers { get; init; } = [];

    /// <summary>Another after each change that watchers are told; never the same in two activations.</summary>
    [Id(5)]
    public long Version { get; init; }

    /// <summary>Which activation of the model's grain tells this.</summary>
    [Id(6)]
    public long Activation { get; init; }

    /// <summary>The activation is young and may not have heard yet of all that its predecessor knew: lives it has never listed may go on.</summary>
    [Id(7)]
    public bool IsRecovering { get; init; }

    /// <summary>Requests that are refused.</summary>
    [Id(8)]
    public QuarantinedRequest[] Quarantined { get; init; } = [];
}

/// <summary>A request that ended replicas.</summary>
/// <param name="Fingerprint">Names its prompt (<see cref="PromptBlocks.Fingerprint"/>).</param>
/// <param name="Remaining">How long it is still refused.</param>
[GenerateSerializer, Immutable, Alias("granary.quarantined-request")]
public sealed record QuarantinedRequest([property: Id(0)] ulong Fingerprint, [property: Id(1)] string Reason, [property: Id(2)] TimeSpan Remaining);

/// <summary>A replica that is wanted and not there.</summary>
/// <param name="Replica"><c>model/index</c>; of a silo's share its key.</param>
/// <param name="Reason">Why: the error of its last load, how its life ended, or what a planner needs and what there is.</param>
/// <param name="RetryAfter">When it is tried again.</param>
[GenerateSerializer, Immutable, Alias("granary.missing-replica")]
public sealed record MissingReplica([property: Id(0)] string Replica, [property: Id(1)] string Reason, [property: Id(2)] TimeSpan RetryAfter);

using Granary.GrainInterfaces.Routing;
using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Models;

/// <summary>The control plane of one model: which replicas it should have, and where. Key: the model's name.</summary>
/// <remarks>Never on the way of a request.</remarks>
[Alias("granary.model")]
public interface IModelGrain : IGrainWithStringKey
{
    /// <summary>Brings the model to the wanted number of replicas and tells its router. Repeating it changes nothing.</summary>
    /// <remarks>What is wanted stays wanted: a replica that could not be loaded, or that ended, is tried again with growing pauses.</remarks>
    /// <exception cref="Errors.ModelLoadException">A replica cannot be loaded; those loaded before stay.</exception>
    /// <exception cref="Errors.RequestRefusedException">A value of the spec is out of its bounds; nothing was changed.</exception>
    [ResponseTimeout("00:30:00"), Alias("deploy")]
    Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default);

    /// <summary>What is wanted and what is there, told at once even while a replica is being loaded.</summary>
    [AlwaysInterleave, Alias("status")]
    Task<ModelStatus> GetStatusAsync(CancellationToken cancellationToken = default);

    /// <summary>What the model is, to whoever wants to ask it.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No silo of the cluster has opened it yet.</exception>
    [AlwaysInterleave, Alias("card")]
    Task<ModelCard> GetCardAsync(CancellationToken cancellationToken = default);

    /// <summary>The files to tokenize with, megabytes: ask once and keep them by fingerprint.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No silo of the cluster has opened it yet.</exception>
    [AlwaysInterleave, Alias("text-files")]
    Task<ModelTextFiles> GetTextFilesAsync(CancellationToken cancellationToken = default);

    /// <summary>A worker tells that a replica's life ended by a failure; lives that are not the current one are ignored.</summary>
    [Alias("report-ended")]
    Task ReportEndedAsync(ReplicaLife life, string reason, CancellationToken cancellationToken = default);
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
}

/// <summary>A replica that is wanted and not there.</summary>
/// <param name="Replica"><c>model/index</c>.</param>
/// <param name="Reason">Why: the error of its last load, how its life ended, or what a planner needs and what there is.</param>
/// <param name="RetryAfter">When it is tried again.</param>
[GenerateSerializer, Immutable, Alias("granary.missing-replica")]
public sealed record MissingReplica([property: Id(0)] string Replica, [property: Id(1)] string Reason, [property: Id(2)] TimeSpan RetryAfter);

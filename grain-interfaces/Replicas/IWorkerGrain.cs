using Granary.GrainInterfaces.Routing;
using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>One device of one silo: it loads and unloads what runs there, within its memory. Key: <c>silo/device</c>.</summary>
[Alias("granary.worker")]
public interface IWorkerGrain : IGrainWithStringKey
{
    /// <summary>Loads a replica and returns once a probe step has passed. Loading what is loaded returns it as it is.</summary>
    /// <exception cref="Errors.ModelLoadException">The model cannot be loaded here; the message says why.</exception>
    [ResponseTimeout("00:30:00"), Alias("load")]
    Task<ReplicaDescriptor> LoadAsync(ReplicaSpec spec, CancellationToken cancellationToken = default);

    /// <summary>Ends the replica's life: running sequences get a bounded time to end, the rest fail, and its memory is freed.</summary>
    /// <remarks>Unloading what is not loaded does nothing; what is being loaded is given up.</remarks>
    [AlwaysInterleave, ResponseTimeout("00:05:00"), Alias("unload")]
    Task UnloadAsync(string replicaId, CancellationToken cancellationToken = default);

    /// <summary>Has the replica take nothing new, and tells its readers to go on elsewhere; its life goes on until it is unloaded.</summary>
    [AlwaysInterleave, Alias("drain")]
    Task DrainAsync(string replicaId, CancellationToken cancellationToken = default);

    /// <summary>What the device is, and what is loaded on it, told at once even while a replica is being loaded.</summary>
    [AlwaysInterleave, Alias("status")]
    Task<WorkerStatus> GetStatusAsync(CancellationToken cancellationToken = default);
}

/// <summary>What a worker is to load.</summary>
/// <param name="ReplicaId">Key of its <see cref="IReplicaGrain"/> (<see cref="Cluster.GrainKeys.Replica"/>).</param>
/// <param name="Model">The served model's name; the silo knows where its files are.</param>
/// <param name="IntraOpThreads">Cores of the device given to this replica's engine.</param>
/// <param name="KvBlocks">KV blocks to reserve; 0 lets the worker choose from the memory it has, which only a whole replica may.</param>
/// <param name="Layout">How it is cut and where its shards go; null for a whole model on this worker. Threads and KV blocks are those of each shard.</param>
[GenerateSerializer, Immutable, Alias("granary.replica-spec")]
public sealed record ReplicaSpec(
    [property: Id(0)] string ReplicaId, [property: Id(1)] string Model, [property: Id(2)] int IntraOpThreads, [property: Id(3)] int KvBlocks,
    [property: Id(4)] ReplicaLayout? Layout = null);

/// <summary>A worker's device and load.</summary>
[GenerateSerializer, Immutable, Alias("granary.worker-status")]
public sealed record WorkerStatus(
    [property: Id(0)] string Device, [property: Id(1)] int Cores, [property: Id(2)] long MemoryBytes, [property: Id(3)] ReplicaDescriptor[] Replicas);

using Granary.Engine;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains;

/// <summary>Starts the engine of a replica. The silo gives it: it knows where a model's files are and what runs them.</summary>
public interface IReplicaFactory
{
    /// <summary>Loads the model and starts its engine. Never called twice at a time for one replica.</summary>
    /// <exception cref="ModelLoadException">The model cannot be loaded; the message names the file or value at fault.</exception>
    Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken);
}

/// <summary>A started engine, and what the grains need to know of its model.</summary>
/// <param name="Engine">Owned by the receiver from here on.</param>
/// <param name="EosTokenIds">The model's own end-of-sequence ids: they end every sequence whose request does not ignore them.</param>
/// <param name="Shards">What the engine runs on, where that is not in its own hands: disposed after it.</param>
/// <param name="DeviceBytes">What it takes of a device that has memory of its own; 0 where that is the process's, which is measured.</param>
public sealed record LoadedReplica(IInferenceEngine Engine, IReadOnlySet<int> EosTokenIds, IAsyncDisposable? Shards = null, long DeviceBytes = 0);

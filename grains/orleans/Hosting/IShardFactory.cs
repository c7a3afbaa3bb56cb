using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains;

/// <summary>Loads shards of partitioned replicas, and starts the engines that lead them. The silo gives it: it knows the files, what runs them, and the tensor links.</summary>
public interface IShardFactory
{
    /// <summary>Where peers of this silo's shards connect to.</summary>
    string Endpoint { get; }

    /// <summary>Imports the partition, if it has not been, and loads it.</summary>
    /// <param name="spec">What to load.</param>
    /// <param name="progress">0 to 1; called from the loading thread.</param>
    /// <exception cref="ModelLoadException">It cannot be loaded; the message names the file or value at fault.</exception>
    Task<ILoadedShard> LoadAsync(ShardSpec spec, IProgress<double> progress, CancellationToken cancellationToken);

    /// <summary>Connects to every shard of a replica while they are being joined to each other, and starts the engine over them.</summary>
    /// <param name="spec">The replica; its layout is set.</param>
    /// <param name="epoch">Its life.</param>
    /// <param name="endpoints">[P × T]: where each shard is reached.</param>
    /// <exception cref="ModelLoadException">A shard cannot be reached.</exception>
    Task<LoadedReplica> LeadAsync(ReplicaSpec spec, long epoch, string[] endpoints, CancellationToken cancellationToken);
}

/// <summary>A loaded shard; disposing it ends its life and gives its memory back.</summary>
public interface ILoadedShard : IAsyncDisposable
{
    /// <summary>Progress is 1 and the state <see cref="ShardState.Loaded"/> or <see cref="ShardState.Running"/>.</summary>
    ShardStatus Status { get; }

    /// <summary>Completes when the shard runs no more, with the error, or null where it was disposed or a peer ended the life they share. Never faults.</summary>
    Task<Exception?> Ended { get; }

    /// <summary>Opens the links to the ranks beside it and to the stages before and behind it, waits for the engine's, and runs steps from then on.</summary>
    /// <exception cref="ReplicaFailedException">A peer cannot be reached.</exception>
    Task ConnectAsync(string[] endpoints, CancellationToken cancellationToken);
}

/// <summary>A silo that holds whole models only.</summary>
internal sealed class NoShardFactory : IShardFactory
{
    public string Endpoint => "";

    public Task<ILoadedShard> LoadAsync(ShardSpec spec, IProgress<double> progress, CancellationToken cancellationToken) => throw Refusal(spec.Replica);

    public Task<LoadedReplica> LeadAsync(ReplicaSpec spec, long epoch, string[] endpoints, CancellationToken cancellationToken) => throw Refusal(spec);

    private static ModelLoadException Refusal(ReplicaSpec spec) => new($"Replica '{spec.ReplicaId}' is cut into shards; this silo runs whole models only.");
}

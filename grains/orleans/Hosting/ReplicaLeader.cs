using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Grains;

/// <summary>Brings the shards of a partitioned replica to life, wherever they are, and starts its engine over them.</summary>
public sealed class ReplicaLeader(
    IShardFactory factory, IGrainFactory grains, IOptions<ShardHostOptions> options, TimeProvider time, ILogger<ReplicaLeader> logger)
{
    /// <summary>Loads all shards, joins them, and starts the engine; whatever fails leaves nothing behind.</summary>
    /// <param name="spec">Its layout is set.</param>
    /// <param name="epoch">The life.</param>
    /// <returns>The engine, and beneath it its shards, which are to be ended after it.</returns>
    /// <exception cref="ModelLoadException">A shard cannot be loaded or joined.</exception>
    public async Task<LoadedReplica> CreateAsync(ReplicaSpec spec, long epoch, CancellationToken cancellationToken)
    {
        var shards = new LedShards(spec, epoch, grains, options.Value, time, logger);
        try
        {
            var endpoints = await shards.LoadAsync(cancellationToken).ConfigureAwait(false);
            var engine = await JoinAsync(shards, spec, epoch, endpoints, cancellationToken).ConfigureAwait(false);
            return engine with { Shards = shards };
        }
        catch
        {
            await shards.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Shards wait for the engine's links and the engine for theirs: all of them connect at the same time.</summary>
    private async Task<LoadedReplica> JoinAsync(LedShards shards, ReplicaSpec spec, long epoch, string[] endpoints, CancellationToken cancellationToken)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var leading = factory.LeadAsync(spec, epoch, endpoints, failed.Token);
        try
        {
            await FirstFailure.WhenAllAsync([leading, .. shards.Connect(endpoints, failed.Token)], failed).ConfigureAwait(false);
            return await leading.ConfigureAwait(false);
        }
        catch
        {
            if (leading.IsCompletedSuccessfully) await leading.Result.Engine.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}

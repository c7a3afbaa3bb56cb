using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Workers;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Grains;

/// <summary>Asks the leaders of this silo's shards to end their replicas before the silo stops, so that running sequences get their time there as well.</summary>
internal sealed partial class ShardDrain(
    ShardHost shards, LocalWorker worker, IGrainFactory grains, IOptions<EngineHostOptions> options, TimeProvider time, ILogger<ShardDrain> logger) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return;
        var replicas = shards.Shards.Where(shard => shard.Status.State == ShardState.Running).Select(shard => shard.Spec.Replica.ReplicaId)
            .Where(replica => GrainKeys.WorkerOf(replica) != worker.Key).Distinct();
        using var bound = new CancellationTokenSource(options.Value.DrainTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancellationToken);
        await Task.WhenAll(replicas.Select(replica => EndAsync(replica, either.Token)));
    }

    private async Task EndAsync(string replica, CancellationToken cancellationToken)
    {
        try
        {
            await grains.GetGrain<IWorkerGrain>(GrainKeys.WorkerOf(replica)).UnloadAsync(replica, cancellationToken).WaitAsync(cancellationToken);
        }
        catch (Exception exception)
        {
            // The shard is ended all the same, and its replica fails.
            LogNotDrained(replica, exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId}, of which this silo runs a shard, was not ended in order.")]
    private partial void LogNotDrained(string replicaId, Exception exception);
}

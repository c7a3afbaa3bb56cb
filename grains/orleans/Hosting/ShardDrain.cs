using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Workers;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Grains;

/// <summary>Asks the leaders of this silo's shards to drain and then to end their replicas before the silo stops, so that running sequences get their time there as well.</summary>
internal sealed partial class ShardDrain(
    ShardHost shards, LocalWorker worker, IGrainFactory grains, IOptions<EngineHostOptions> options, TimeProvider time, ILogger<ShardDrain> logger) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Waits for nobody: a leader that does not hear of it is asked again when services stop.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        foreach (var replica in LedElsewhere()) _ = DrainAsync(replica);
        return Task.CompletedTask;

        async Task DrainAsync(string replica) =>
            await Leader(replica).DrainAsync(replica, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return;
        using var bound = new CancellationTokenSource(options.Value.DrainTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancellationToken);
        await Task.WhenAll(LedElsewhere().Select(replica => EndAsync(replica, either.Token)));
    }

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private IEnumerable<string> LedElsewhere() =>
        shards.Shards.Where(shard => shard.Status.State == ShardState.Running).Select(shard => shard.Spec.Replica.ReplicaId)
            .Where(replica => GrainKeys.WorkerOf(replica) != worker.Key).Distinct();

    private IWorkerGrain Leader(string replica) => grains.GetGrain<IWorkerGrain>(GrainKeys.WorkerOf(replica));

    private async Task EndAsync(string replica, CancellationToken cancellationToken)
    {
        try
        {
            await Leader(replica).UnloadAsync(replica, cancellationToken).WaitAsync(cancellationToken);
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

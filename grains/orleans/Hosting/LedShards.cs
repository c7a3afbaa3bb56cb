using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Microsoft.Extensions.Logging;
using Orleans;

namespace Granary.Grains;

/// <summary>The shards of one life of a partitioned replica, as its leader sees them. Disposing ends them all.</summary>
internal sealed partial class LedShards : IAsyncDisposable
{
    /// <summary>Questions in a row that a shard may leave unanswered while it loads.</summary>
    private const int MaxMisses = 3;

    private readonly Shard[] _shards;
    private readonly long _epoch;
    private readonly ShardHostOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    public LedShards(ReplicaSpec spec, long epoch, IGrainFactory grains, ShardHostOptions options, TimeProvider time, ILogger logger)
    {
        var layout = spec.Layout!;
        (_epoch, _options, _time, _logger) = (epoch, options, time, logger);
        _shards = new Shard[layout.Workers.Length];
        for (var i = 0; i < _shards.Length; i++)
        {
            var (stage, rank) = (i / layout.Ranks, i % layout.Ranks);
            var key = GrainKeys.Shard(layout.Workers[i], spec.ReplicaId, stage, rank);
            _shards[i] = new(key, grains.GetGrain<IShardGrain>(key), new ShardSpec { Replica = spec, Epoch = epoch, Stage = stage, Rank = rank });
        }
    }

    /// <summary>Loads all of them at a time; the first that fails ends the loads of the others.</summary>
    /// <returns>[P × T]: where each is reached.</returns>
    /// <exception cref="ModelLoadException">One cannot be loaded, or its silo does not answer.</exception>
    public async Task<string[]> LoadAsync(CancellationToken cancellationToken)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var loads = Array.ConvertAll(_shards, shard => LoadAsync(shard, failed.Token));
        var loaded = Task.WhenAll(loads);
        await FirstFailure.WhenAllAsync([.. loads, .. _shards.Select(shard => KeepAsync(shard, loaded, failed.Token))], failed).ConfigureAwait(false);
        return Array.ConvertAll(await loaded.ConfigureAwait(false), address => address.Endpoint);
    }

    /// <summary>Joins them to each other and to the engine, which connects at the same time.</summary>
    public IEnumerable<Task> Connect(string[] endpoints, CancellationToken cancellationToken) => _shards.Select(shard => TellAsync(
        shard, "be joined", token => shard.Grain.ConnectAsync(_epoch, endpoints, token), cancellationToken));

    public async ValueTask DisposeAsync()
    {
        using var bound = new CancellationTokenSource(_options.UnloadTimeout, _time);
        await Task.WhenAll(_shards.Select(shard => UnloadAsync(shard, bound.Token))).ConfigureAwait(false);
    }

    private static async Task<ShardAddress> LoadAsync(Shard shard, CancellationToken cancellationToken)
    {
        ShardAddress? address = null;
        await TellAsync(shard, "be loaded", async token => address = await shard.Grain.LoadAsync(shard.Spec, token).ConfigureAwait(false), cancellationToken)
            .ConfigureAwait(false);
        return address!;
    }

    /// <summary>Waits no longer than its caller, whatever the other silo does; what goes wrong names the shard.</summary>
    private static async Task TellAsync(Shard shard, string what, Func<CancellationToken, Task> tell, CancellationToken cancellationToken)
    {
        try
        {
            await tell(cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            var error = exception is GranaryException ? exception.Message : $"{exception.GetType().Name}: {exception.Message}";
            throw new ModelLoadException($"Shard '{shard.Key}' could not {what}: {error}");
        }
    }

    /// <summary>Asks the shard how far it is until all are loaded: it ends itself when nobody asks, and its silo's loss is found here.</summary>
    private async Task KeepAsync(Shard shard, Task until, CancellationToken cancellationToken)
    {
        for (var misses = 0; ;)
        {
            await Task.WhenAny(until, Task.Delay(_options.StatusPeriod, _time, cancellationToken)).ConfigureAwait(false);
            if (until.IsCompleted || cancellationToken.IsCancellationRequested) return;
            try
            {
                await shard.Grain.GetStatusAsync(cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
                misses = 0;
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception exception)
            {
                if (++misses < MaxMisses) continue;
                throw new ModelLoadException($"Shard '{shard.Key}' did not answer {misses} times while it was being loaded: {exception.GetType().Name}: {exception.Message}");
            }
        }
    }

    private async Task UnloadAsync(Shard shard, CancellationToken cancellationToken)
    {
        try
        {
            await shard.Grain.UnloadAsync(_epoch, cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // A silo that is gone took its shard with it; one that only does not answer loses it by its links.
            LogUnloadFailed(_logger, shard.Key, _epoch, exception);
        }
    }

    private sealed record Shard(string Key, IShardGrain Grain, ShardSpec Spec);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Shard {Shard}, epoch {Epoch}, was not ended by its leader.")]
    private static partial void LogUnloadFailed(ILogger logger, string shard, long epoch, Exception exception);
}

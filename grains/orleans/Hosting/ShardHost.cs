using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>Owns the shards of this silo: loads them, joins them to their peers, and ends them with the host.</summary>
/// <remarks>
/// Shards outlive activations; grains only look them up. A key has at most one life at a time: the next one is loaded after the memory of the
/// last has been given back. Safe for any thread.
/// </remarks>
public sealed partial class ShardHost(IShardFactory factory, IOptions<ShardHostOptions> options, TimeProvider time, ILogger<ShardHost> logger)
    : IHostedService, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, ShardSlot> _slots = new(StringComparer.Ordinal);
    private bool _stopping;

    /// <summary>Something began, was joined, or ended. Raised on any thread.</summary>
    public event Action? Changed;

    /// <summary>What is loaded or being loaded, and how it stands.</summary>
    public IReadOnlyCollection<(ShardSpec Spec, ShardStatus Status)> Shards
    {
        get
        {
            lock (_gate) return [.. _slots.Values.Select(slot => (slot.Spec, slot.Status))];
        }
    }

    /// <summary>Loads the shard; another life under this key is ended first. The same one is loaded once.</summary>
    /// <param name="key">Of its grain.</param>
    /// <param name="cancellationToken">The leader gives up: what was loaded is ended.</param>
    /// <exception cref="ModelLoadException">It cannot be loaded, or the silo is stopping.</exception>
    public async Task<ShardAddress> LoadAsync(string key, ShardSpec spec, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            ShardSlot? slot;
            lock (_gate)
            {
                if (_stopping) throw new ModelLoadException($"Shard '{key}' cannot be loaded: the silo is stopping.");
                if (!_slots.TryGetValue(key, out slot))
                {
                    slot = new ShardSlot(spec, time);
                    _slots.Add(key, slot);
                    slot.Loading = Task.Run(() => OpenAsync(key, slot), CancellationToken.None);
                    _ = Task.Run(() => LiveAsync(key, slot), CancellationToken.None);
                    _ = Task.Run(() => WatchLeaderAsync(key, slot), CancellationToken.None);
                }
            }

            if (slot.Spec.Epoch == spec.Epoch && !slot.Ending)
            {
                Changed?.Invoke();
                try
                {
                    await slot.Loading.WaitAsync(cancellationToken).ConfigureAwait(false);
                    return new ShardAddress(factory.Endpoint);
                }
                catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
                {
                    slot.End();
                    throw;
                }
            }

            slot.End();
            await slot.Retired.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Joins the shard to its peers. One that cannot be joined is ended.</summary>
    /// <exception cref="EpochMismatchException">Another life is loaded, or none.</exception>
    /// <exception cref="ReplicaFailedException">A peer cannot be reached.</exception>
    public async Task ConnectAsync(string key, long epoch, string[] endpoints, CancellationToken cancellationToken = default)
    {
        var slot = Find(key);
        if (slot is null || slot.Spec.Epoch != epoch || slot.Ending || !slot.Loading.IsCompletedSuccessfully)
        {
            var actual = slot is null || slot.Ending ? 0 : slot.Spec.Epoch;
            throw new EpochMismatchException($"Shard '{key}' is loaded in epoch {actual} (0: not loaded); epoch {epoch} was to be joined.", epoch, actual);
        }

        slot.Hear();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(slot.EndAsked, cancellationToken);
        try
        {
            await slot.Loading.Result.ConnectAsync(endpoints, either.Token).ConfigureAwait(false);
            slot.Join();
            Changed?.Invoke();
        }
        catch (Exception exception)
        {
            slot.End();
            if (exception is ReplicaFailedException || cancellationToken.IsCancellationRequested) throw;
            throw new ReplicaFailedException($"Shard '{key}', epoch {epoch}, could not be joined: {exception.GetType().Name}: {exception.Message}");
        }
    }

    /// <summary>Ends that life, or whichever there is, and returns when its memory has been given back. What is not there is left alone.</summary>
    /// <param name="epoch">The life; null for any.</param>
    public async Task UnloadAsync(string key, long? epoch, CancellationToken cancellationToken = default)
    {
        var slot = Find(key);
        if (slot is null || (epoch is not null && slot.Spec.Epoch != epoch)) return;
        slot.End();
        await slot.Retired.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Tells the leader how the shard stands; null where nothing is loaded. A shard whose leader asks no more is ended.</summary>
    public ShardStatus? TellLeader(string key)
    {
        var slot = Find(key);
        slot?.Hear();
        return slot?.Status;
    }

    Task IHostedService.StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Refuses what is new and ends every shard. Replicas they are part of end with them.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        ShardSlot[] slots;
        lock (_gate)
        {
            _stopping = true;
            slots = [.. _slots.Values];
        }

        foreach (var slot in slots) slot.End();
        await Task.WhenAll(slots.Select(slot => slot.Retired)).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync() => await StopAsync(CancellationToken.None).ConfigureAwait(false);

    private ShardSlot? Find(string key)
    {
        lock (_gate) return _slots.GetValueOrDefault(key);
    }

    private async Task<ILoadedShard> OpenAsync(string key, ShardSlot slot)
    {
        LogLoading(key, slot.Spec.Epoch);
        var started = time.GetTimestamp();
        try
        {
            var shard = await factory.LoadAsync(slot.Spec, slot, slot.EndAsked).ConfigureAwait(false);
            var elapsed = time.GetElapsedTime(started);
            LogLoaded(key, slot.Spec.Epoch, elapsed);
            return shard;
        }
        catch (Exception exception)
        {
            LogLoadFailed(key, slot.Spec.Epoch, exception);
            throw exception switch
            {
                ModelLoadException => exception,
                OperationCanceledException when slot.Ending => new ModelLoadException($"Shard '{key}' was ended while it was being loaded."),
                _ => new ModelLoadException($"Shard '{key}' cannot be loaded: {exception.GetType().Name}: {exception.Message}"),
            };
        }
    }

    /// <summary>A slot's whole life: from the load that fills it until nothing of it is left.</summary>
    private async Task LiveAsync(string key, ShardSlot slot)
    {
        await ((Task)slot.Loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (slot.Loading.IsCompletedSuccessfully)
        {
            Changed?.Invoke();
            var shard = await slot.Loading.ConfigureAwait(false);
            await Task.WhenAny(shard.Ended, slot.EndAskedTask).ConfigureAwait(false);
            var failure = shard.Ended.IsCompleted ? await shard.Ended.ConfigureAwait(false) : null;
            slot.End();
            if (failure is null) LogEnded(key, slot.Spec.Epoch);
            else LogFailed(key, slot.Spec.Epoch, failure);
            try
            {
                await shard.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                // Its memory may be lost; the silo goes on, and the log says whose it was.
                LogDisposeFailed(key, slot.Spec.Epoch, exception);
            }
        }

        lock (_gate) _slots.Remove(key);
        slot.Retire();
        Changed?.Invoke();
    }

    /// <summary>Ends a shard whose leader was lost before it was joined.</summary>
    private async Task WatchLeaderAsync(string key, ShardSlot slot)
    {
        var limit = options.Value.LeaderSilenceLimit;
        while (!slot.Settled.IsCancellationRequested)
        {
            var remaining = limit - slot.SinceHeard;
            if (remaining <= TimeSpan.Zero)
            {
                LogLeaderSilent(key, slot.Spec.Epoch, limit.TotalSeconds);
                slot.End();
                return;
            }

            await Task.Delay(remaining, time, slot.Settled).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

using System.Diagnostics.CodeAnalysis;
using Granary.Engine.Execution;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>Owns the engines of this silo: loads them, numbers their lives, watches over them, and ends them with the host.</summary>
/// <remarks>
/// Engines outlive activations; grains only look them up. A replica is in at most one life at a time: the next one is loaded
/// after the memory of the last has been given back. Safe for any thread.
/// </remarks>
public sealed partial class EngineHost(
    IReplicaFactory factory, ReplicaLeader leader, IOptions<EngineHostOptions> options, TimeProvider time, ILogger<EngineHost> logger)
    : IHostedLifecycleService, IAsyncDisposable
{
    /// <summary>A process that has to end waits no longer for an engine's step: its memory goes with it.</summary>
    private static readonly TimeSpan HurriedPatience = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Slot> _slots = new(StringComparer.Ordinal);
    private readonly EngineHostOptions _options = options.Value;
    private long _lastEpoch;
    private bool _stopping;

    /// <summary>A life began or ended, or the silo began to drain. Raised on any thread.</summary>
    public event Action? Changed;

    /// <summary>The silo takes nothing new: it will stop.</summary>
    public bool IsDraining
    {
        get
        {
            lock (_gate) return _stopping;
        }
    }

    /// <summary>Why the silo's device is not used again in this process; null where it is sound.</summary>
    public string? DeviceFailure => Hung.Reason;

    /// <summary>Engines that did not come back from a step.</summary>
    internal HungEngines Hung { get; } = new();

    /// <summary>The lives that run now.</summary>
    public IReadOnlyCollection<HostedReplica> Replicas
    {
        get
        {
            lock (_gate) return [.. _slots.Values.Select(slot => slot.Living).OfType<HostedReplica>()];
        }
    }

    /// <summary>The replica's current life; null where it has none.</summary>
    public HostedReplica? Find(string replicaId)
    {
        lock (_gate) return _slots.GetValueOrDefault(replicaId)?.Living;
    }

    /// <summary>How a life of this silo stands; what hangs is told before it is ended.</summary>
    public ReplicaState StateOf(HostedReplica replica) =>
        StepWatchdog.IsStalled(replica.Engine.Load, _options.HangFloor) ? ReplicaState.Stalled : replica.IsDraining ? ReplicaState.Draining : ReplicaState.Ready;

    /// <summary>The replica's life: the current one, or a new one that has passed its probe.</summary>
    /// <remarks>Callers share one load. It goes on when a caller leaves; <see cref="UnloadAsync"/> ends it.</remarks>
    /// <exception cref="ModelLoadException">The model cannot be loaded, its first step failed, the device hangs, or the silo is stopping.</exception>
    public async Task<HostedReplica> LoadAsync(ReplicaSpec spec, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Slot? slot;
            lock (_gate)
            {
                if (_stopping) throw new ModelLoadException($"Replica '{spec.ReplicaId}' cannot be loaded: the silo is stopping.");
                if (!_slots.TryGetValue(spec.ReplicaId, out slot))
                {
                    Hung.Require($"Replica '{spec.ReplicaId}'");
                    _lastEpoch = Math.Max(_lastEpoch + 1, time.GetUtcNow().UtcTicks); // The clock orders lives across restarts.
                    slot = new Slot(_lastEpoch);
                    _slots.Add(spec.ReplicaId, slot);
                    slot.Loading = Task.Run(() => OpenAsync(spec, slot), CancellationToken.None);
                    _ = Task.Run(() => LiveAsync(spec.ReplicaId, slot), CancellationToken.None);
                }
            }

            var replica = await slot.Loading.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (!slot.Ending) return replica;
            await slot.Retired.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Ends the replica's life. Running sequences get <see cref="EngineHostOptions.DrainTimeout"/>; then they fail.</summary>
    /// <remarks>Returns when the engine's memory has been given back. What is not loaded is left alone.</remarks>
    public async Task UnloadAsync(string replicaId, CancellationToken cancellationToken = default)
    {
        Slot? slot;
        lock (_gate)
        {
            if (!_slots.TryGetValue(replicaId, out slot)) return;
        }

        slot.End();
        await slot.Retired.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Has the replica take nothing new, and tells its readers; its life goes on until it is unloaded. What is not loaded is left alone.</summary>
    public void Drain(string replicaId) => _ = Find(replicaId)?.DrainAsync();

    /// <summary>Has every replica take nothing new, and tells all readers: those that have somewhere else to go leave. <see cref="StopAsync"/> ends the lives.</summary>
    public void BeginDraining()
    {
        Slot[] slots;
        lock (_gate)
        {
            if (_stopping) return;
            _stopping = true;
            slots = [.. _slots.Values];
        }

        foreach (var slot in slots) _ = slot.Living?.DrainAsync();
        LogDraining();
        Changed?.Invoke();
    }

    Task IHostedService.StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedLifecycleService.StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    Task IHostedLifecycleService.StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Before any service of the host is stopped, and so before the gateway has ended its requests.</summary>
    Task IHostedLifecycleService.StoppingAsync(CancellationToken cancellationToken)
    {
        BeginDraining();
        return Task.CompletedTask;
    }

    Task IHostedLifecycleService.StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Refuses what is new, gives running sequences a bounded time, then ends every life.</summary>
    /// <param name="cancellationToken">Cuts the time for running sequences short; lives are ended nevertheless.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        BeginDraining();
        Slot[] slots;
        lock (_gate) slots = [.. _slots.Values];
        foreach (var slot in slots) slot.End();
        await using var hurry = cancellationToken.Register(() => { foreach (var slot in slots) slot.Hurry(); }).ConfigureAwait(false);
        await Task.WhenAll(slots.Select(slot => slot.Retired)).ConfigureAwait(false);
    }

    /// <summary>Ends what a host that was not stopped left running, without waiting for sequences.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);

    /// <summary>Loads and probes; whatever fails leaves nothing behind.</summary>
    private async Task<HostedReplica> OpenAsync(ReplicaSpec spec, Slot slot)
    {
        LogLoading(spec.ReplicaId, slot.Epoch, spec.IntraOpThreads, spec.KvBlocks);
        var started = time.GetTimestamp();
        LoadedReplica? loaded = null;
        try
        {
            loaded = spec.Layout is null
                ? await factory.CreateAsync(spec, slot.EndAsked).ConfigureAwait(false)
                : await leader.CreateAsync(spec, slot.Epoch, slot.EndAsked).ConfigureAwait(false);
            await EngineProbe.RunAsync(loaded.Engine, spec.ReplicaId, _options.ProbeTimeout, time, slot.EndAsked).ConfigureAwait(false);
            var elapsed = time.GetElapsedTime(started);
            LogReady(spec.ReplicaId, slot.Epoch, elapsed, loaded.Engine.Info.KvBlockCount);
            return new HostedReplica(spec, slot.Epoch, loaded);
        }
        catch (Exception exception)
        {
            LogLoadFailed(spec.ReplicaId, slot.Epoch, exception);
            if (loaded is not null) await GiveBackAsync(spec, loaded, slot, hung: false).ConfigureAwait(false);
            throw exception switch
            {
                ModelLoadException => exception,
                OperationCanceledException when slot.Ending => new ModelLoadException($"Replica '{spec.ReplicaId}' was unloaded while it was being loaded."),
                _ => new ModelLoadException($"Replica '{spec.ReplicaId}' cannot be loaded: {exception.GetType().Name}: {exception.Message}"),
            };
        }
    }

    /// <summary>A slot's whole life: from the load that fills it until nothing of it is left.</summary>
    private async Task LiveAsync(string replicaId, Slot slot)
    {
        await ((Task)slot.Loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (slot.Loading.IsCompletedSuccessfully)
        {
            var replica = await slot.Loading.ConfigureAwait(false);
            if (IsDraining) _ = replica.DrainAsync(); // It began while the replica was being loaded.
            Changed?.Invoke();
            var (failure, hung) = await RunToEndAsync(replica, slot).ConfigureAwait(false);
            slot.End(); // A life that failed is over for everyone, whoever asks next.
            if (hung && replica.Spec.Layout is null) Hung.Condemn(replicaId, slot.Epoch); // The engine of one that is cut waits for others' devices.
            if (hung) replica.Abandon((StepFailedException)failure!);
            else replica.End(failure);
            if (failure is null) LogEnded(replicaId, slot.Epoch);
            else LogFailed(replicaId, slot.Epoch, failure);
            await GiveBackAsync(replica.Spec, replica.Loaded, slot, hung).ConfigureAwait(false);
        }

        lock (_gate) _slots.Remove(replicaId);
        slot.Retire();
        Changed?.Invoke();
    }

    /// <summary>Waits until the engine fails or hangs, or for the wish to end it and then for its sequences.</summary>
    private async Task<(Exception? Failure, bool IsHung)> RunToEndAsync(HostedReplica replica, Slot slot)
    {
        using var watching = new CancellationTokenSource();
        var hung = StepWatchdog.WhenHungAsync(replica.Engine, _options.HangFloor, time, watching.Token);
        var failure = await RunToEndAsync(replica, slot, hung).ConfigureAwait(false);
        await watching.CancelAsync().ConfigureAwait(false);
        return (failure, hung.IsCompletedSuccessfully && failure is not null && ReferenceEquals(failure, hung.Result));
    }

    private async Task<Exception?> RunToEndAsync(HostedReplica replica, Slot slot, Task<StepFailedException> hung)
    {
        var completion = replica.Engine.Completion;
        Task over = Task.WhenAny(completion, hung);
        await Task.WhenAny(over, slot.EndAskedTask).ConfigureAwait(false);
        if (!over.IsCompleted)
        {
            var drained = replica.DrainAsync();
            using var bound = new CancellationTokenSource(_options.DrainTimeout, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, slot.Hurried);
            Task first = Task.WhenAny(drained, over);
            await first.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!drained.IsCompleted && !over.IsCompleted) LogDrainCut(replica.ReplicaId, replica.Epoch, replica.Engine.Load.RunningSequences);
        }

        if (!completion.IsCompleted) return hung.IsCompletedSuccessfully ? await hung.ConfigureAwait(false) : null;
        return completion.Exception?.InnerException
            ?? (slot.Ending ? null : new InvalidOperationException("The engine ended by itself."));
    }

    /// <summary>Gives back what a life took. An engine that hangs keeps it, out of use.</summary>
    private async Task GiveBackAsync(ReplicaSpec spec, LoadedReplica loaded, Slot slot, bool hung)
    {
        // Where the engine waits for a shard, it comes back when that has gone.
        if (hung && loaded.Shards is not null) await loaded.Shards.DisposeAsync().ConfigureAwait(false);
        var disposing = DisposeEngineAsync(loaded, spec.ReplicaId, slot.Epoch);
        using var bound = new CancellationTokenSource(hung && loaded.Shards is null ? TimeSpan.Zero : StepWatchdog.LimitOf(loaded.Engine.Load, _options.HangFloor), time);
        await using (slot.Hurried.Register(() => bound.CancelAfter(HurriedPatience)).ConfigureAwait(false))
        {
            await disposing.WaitAsync(bound.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (!disposing.IsCompleted)
        {
            Hung.Condemn(spec.ReplicaId, slot.Epoch);
            Hung.Keep(spec, loaded, slot.Epoch, disposing);
            LogHung(spec.ReplicaId, slot.Epoch);
        }

        if (!hung && loaded.Shards is not null) await loaded.Shards.DisposeAsync().ConfigureAwait(false);
    }

    private async Task DisposeEngineAsync(LoadedReplica loaded, string replicaId, long epoch)
    {
        try
        {
            await loaded.Engine.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // Its memory may be lost; the silo goes on, and the log says whose it was.
            LogDisposeFailed(replicaId, epoch, exception);
        }
    }

    /// <summary>The place of one replica.</summary>
    [SuppressMessage("Design", "CA1001", Justification = "As the base's.")]
    private sealed class Slot(long epoch) : HostSlot<HostedReplica>
    {
        private readonly CancellationTokenSource _hurry = new();

        public long Epoch => epoch;

        public CancellationToken Hurried => _hurry.Token;

        public HostedReplica? Living => Loading.IsCompletedSuccessfully && !Loading.Result.Ended.IsCompleted ? Loading.Result : null;

        public void Hurry() => _hurry.Cancel();
    }
}

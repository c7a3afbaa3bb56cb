using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Models;

/// <summary>Keeps a model at the wanted number of replicas and tells its router which lives there are.</summary>
/// <remarks>
/// Not reentrant: deployments, reports and the watch follow one another, so a replica is never loaded by two of them at a time.
/// Only what asks interleaves: status, card and files. What is wanted lives in this activation; whoever deploys repeats it after a restart.
/// </remarks>
[PreferLocalPlacement]
[SuppressMessage("Design", "CA1001", Justification = "An activation is disposed by its deactivation.")]
internal sealed partial class ModelGrain(
    IGrainFactory grains, IModelFiles files, ReplicaPlanner planner, IClusterMembershipService membership, ILocalSiloDetails silo,
    IOptions<ModelGrainOptions> options, TimeProvider time, ILogger<ModelGrain> logger) : Grain, IModelGrain
{
    private readonly CancellationTokenSource _ended = new(); // The activation, or before it the silo's membership.
    private readonly List<ModelReplica> _replicas = []; // By number.
    private DeploymentSpec _deployment = new(0, [], 1, 0);
    private ReplicaDescriptor[] _published = [];
    private IGrainTimer? _watch;
    private ModelCard? _card; // Set once a replica lives; what was opened stays known while its replicas are away.

    private string Model => this.GetPrimaryKeyString();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _ = WatchMembershipAsync(_ended.Token);
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await _ended.CancelAsync();
        _ended.Dispose();
    }

    public async Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default)
    {
        DeploymentRules.Require(spec);
        _deployment = spec;
        // Surplus first: its cores are free for what comes.
        while (_replicas.Count > spec.Replicas) await RetireAsync(_replicas.Count - 1, cancellationToken);

        for (var index = _replicas.Count; index < spec.Replicas; index++)
            _replicas.Add(new ModelReplica(index, $"{Model}/{index}", new RetryClock(options.Value, time)));
        SetWatch();

        ModelLoadException? failure = null;
        foreach (var replica in _replicas.ToList())
        {
            try
            {
                await BringAsync(replica, cancellationToken);
            }
            catch (ModelLoadException exception)
            {
                failure ??= exception; // The others are not to suffer; the watch goes on with this one.
            }
        }

        if (failure is not null) throw new ModelLoadException(failure.Message);
        await PublishAsync(cancellationToken);
        await AnnounceAsync(cancellationToken);
        return Status();
    }

    public Task<ModelCard> GetCardAsync(CancellationToken cancellationToken = default) => Task.FromResult(_card ?? throw NotOpened());

    public async Task<ModelTextFiles> GetTextFilesAsync(CancellationToken cancellationToken = default) =>
        await files.FindTextFilesAsync(Model, cancellationToken) ?? throw NotOpened();

    public Task<ModelStatus> GetStatusAsync(CancellationToken cancellationToken = default) => Task.FromResult(Status());

    public async Task ReportEndedAsync(ReplicaLife life, string reason, CancellationToken cancellationToken = default)
    {
        var replica = _replicas.Find(replica => replica.Living?.Replica == life);
        if (replica is null) return; // An earlier life, or one that is no longer wanted.
        LogLifeEnded(life.ReplicaId, life.Epoch);
        replica.LifeEnded($"Its life of epoch {life.Epoch} failed: {reason}");
        SetWatch();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _ended.Token);
        await PublishAsync(either.Token);
    }

    private ModelStatus Status() => new(Model, _replicas.Count, Living())
    {
        Missing = [.. _replicas.Where(replica => replica.Living is null).Select(replica => replica.ToMissing())],
    };

    private ReplicaDescriptor[] Living() => [.. _replicas.Select(replica => replica.Living).OfType<ReplicaDescriptor>()];

    /// <summary>Makes one replica what is wanted; where that differs from what it is, it is ended first, while the others go on serving.</summary>
    private async Task BringAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        if (replica.Placement is { } placement && !placement.Fits(replica.Index, _deployment))
        {
            await UnloadAsync(replica, cancellationToken);
            replica.Unloaded();
        }

        await LoadAsync(replica, cancellationToken);
    }

    /// <summary>Asks for the replica's life: the one it has, or a new one, where there is room for it now; the router learns of a new one at once.</summary>
    /// <exception cref="ModelLoadException">It fits nowhere, cannot be loaded, or its worker does not answer.</exception>
    private async Task LoadAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        try
        {
            if (replica.Living is null) await PlaceAsync(replica, cancellationToken);
            var (worker, spec) = replica.Placement!;
            replica.Loaded(await grains.GetGrain<IWorkerGrain>(worker).LoadAsync(spec, cancellationToken));
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            var error = exception as ModelLoadException
                ?? new ModelLoadException($"Replica '{replica.Name}' could not be loaded on worker '{replica.Placement?.Worker}': {exception.GetType().Name}: {exception.Message}");
            replica.LoadFailed(error.Message);
            SetWatch();
            throw error;
        }

        await PublishAsync(cancellationToken);
    }

    /// <summary>Where it was tried last may have no room now; what is perhaps still being loaded there is ended before it is tried elsewhere.</summary>
    private async Task PlaceAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        var missing = _replicas.Count(other => other.Living is null);
        var placement = await planner.PlaceAsync(Model, replica.Index, _deployment, missing, living => EndAsync(living, cancellationToken), cancellationToken);
        if (replica.Placement is { } last && last != placement) await EndAsync(last, cancellationToken);
        replica.Place(placement);
    }

    private async Task RetireAsync(int index, CancellationToken cancellationToken)
    {
        await UnloadAsync(_replicas[index], cancellationToken);
        _replicas.RemoveAt(index);
        SetWatch();
    }

    /// <summary>First the router forgets it, so that nothing new goes there, then its running sequences get their time to end.</summary>
    private async Task UnloadAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        await PublishAsync(cancellationToken, except: replica);
        if (replica.Placement is { } placement) await EndAsync(placement, cancellationToken);
    }

    private async Task EndAsync(ReplicaPlacement placement, CancellationToken cancellationToken)
    {
        try
        {
            await grains.GetGrain<IWorkerGrain>(placement.Worker).UnloadAsync(placement.Spec.ReplicaId, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // A worker that is gone took its engines with it; one that only does not answer must not hold the deployment up.
            LogUnloadFailed(placement.Spec.ReplicaId, placement.Worker, exception);
        }
    }

    /// <summary>Tells the router, where something has changed since it was last told.</summary>
    private async Task PublishAsync(CancellationToken cancellationToken, ModelReplica? except = null)
    {
        var living = Array.FindAll(Living(), descriptor => descriptor != except?.Living);
        if (living.SequenceEqual(_published)) return;
        await grains.GetGrain<IRouterGrain>(Model).SetReplicasAsync(living, cancellationToken);
        _published = living;
    }

    /// <summary>Tells the index that the model is served, or that it is no more. The index forgets whom it does not hear of.</summary>
    private async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        var index = grains.GetGrain<IModelIndexGrain>(0);
        try
        {
            if (_replicas.Count == 0)
            {
                _card = null;
                await index.WithdrawAsync(Model, cancellationToken);
                return;
            }

            if (Living() is { Length: > 0 } living && await files.FindCardAsync(Model, cancellationToken) is { } card)
                _card = card with { ContextLength = Math.Min(card.ContextLength, living.Min(replica => replica.ContextLength)) };
            if (_card is not null) await index.AnnounceAsync(_card, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // The model answers whoever knows its name; the watch announces it again.
            LogAnnounceFailed(Model, exception);
        }
    }

    private ModelNotReadyException NotOpened() => new($"Model '{Model}' has not been opened yet.", options.Value.RetryPause);

    /// <summary>Watches while there is something to watch; sooner where a replica waits to be loaded.</summary>
    private void SetWatch()
    {
        if (_replicas.Count == 0 || _ended.IsCancellationRequested)
        {
            _watch?.Dispose();
            _watch = null;
            return;
        }

        var period = options.Value.WatchPeriod;
        var due = _replicas.Where(replica => replica.Living is null).Select(replica => replica.Retry.Remaining).Append(period).Min();
        if (_watch is null) _watch = this.RegisterGrainTimer(WatchAsync, new() { DueTime = due, Period = period, KeepAlive = true });
        else _watch.Change(due, period);
    }

    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        try
        {
            await FindEndedAsync(cancellationToken);
            await LoadMissingAsync(cancellationToken);
            if (!_deployment.IsWhole) await EndStraysAsync(cancellationToken);
            await PublishAsync(cancellationToken);
            await AnnounceAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogWatchFailed(Model, exception);
        }

        SetWatch();
    }

    /// <summary>Compares what is thought to live with what the workers say.</summary>
    private async Task FindEndedAsync(CancellationToken cancellationToken)
    {
        var active = ActiveSilos(membership.CurrentSnapshot);
        foreach (var group in _replicas.Where(replica => replica.Living is not null).GroupBy(replica => replica.Placement!.Worker).ToList())
        {
            if (!active.Contains(SiloOf(group.Key)))
            {
                foreach (var replica in group) End(replica, $"Silo '{SiloOf(group.Key)}' is gone.");
                continue;
            }

            WorkerStatus status;
            try
            {
                status = await grains.GetGrain<IWorkerGrain>(group.Key).GetStatusAsync(cancellationToken);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                // Nobody knows of these lives now; the router leaves out those it does not reach by itself.
                LogWorkerSilent(group.Key, Model, exception);
                continue;
            }

            foreach (var replica in group.Where(replica => !status.Replicas.Any(living => living.Replica == replica.Living!.Replica)))
                End(replica, $"Worker '{group.Key}' does not run it any more.");
        }
    }

    private void End(ModelReplica replica, string why)
    {
        LogLifeEnded(replica.Name, replica.Living!.Replica.Epoch);
        replica.LifeEnded(why);
    }

    private async Task LoadMissingAsync(CancellationToken cancellationToken)
    {
        foreach (var replica in _replicas.Where(replica => replica.Living is null && replica.Retry.Remaining == TimeSpan.Zero).ToList())
        {
            try
            {
                await LoadAsync(replica, cancellationToken);
                LogRecovered(replica.Name, replica.Living!.Replica.Epoch);
            }
            catch (ModelLoadException exception)
            {
                LogRetry(replica.Name, replica.Retry.Remaining.TotalSeconds, exception.Message);
            }
        }
    }

    private async Task EndStraysAsync(CancellationToken cancellationToken)
    {
        var wanted = _replicas.Select(replica => replica.Placement?.Spec.ReplicaId).OfType<string>().ToHashSet(StringComparer.Ordinal);
        // Those that are not placed yet may be adopted when they are.
        if (_replicas.Exists(replica => replica.Living is null)) return;
        foreach (var stray in await planner.FindStraysAsync(Model, wanted, cancellationToken))
        {
            LogStray(stray.Spec.ReplicaId);
            await EndAsync(stray, cancellationToken);
        }
    }

    /// <summary>A silo that goes takes lives with it, and one that comes may bring the room that was lacking: neither waits for the watch's period.</summary>
    /// <remarks>
    /// When this silo goes, the watch ends at once, in the middle of a call if need be. The activation ends when its calls have, and a router that starts elsewhere asks this
    /// activation before it answers: they would wait for one another. Nobody would watch over what was loaded now either.
    /// </remarks>
    private async Task WatchMembershipAsync(CancellationToken cancellationToken)
    {
        try
        {
            var known = ActiveSilos(membership.CurrentSnapshot);
            await foreach (var snapshot in membership.MembershipUpdates.WithCancellation(cancellationToken))
            {
                if (snapshot.Members.GetValueOrDefault(silo.SiloAddress)?.Status is SiloStatus.ShuttingDown or SiloStatus.Stopping or SiloStatus.Dead)
                {
                    await _ended.CancelAsync();
                    SetWatch();
                    return;
                }

                var active = ActiveSilos(snapshot);
                if (active.SetEquals(known)) continue;
                known = active;
                foreach (var replica in _replicas.Where(replica => replica.Living is null)) replica.Retry.Forget();
                if (_replicas.Count > 0) _watch?.Change(TimeSpan.Zero, options.Value.WatchPeriod);
            }
        }
        catch (OperationCanceledException)
        {
            // The activation ends.
        }
    }

    private static HashSet<string> ActiveSilos(ClusterMembershipSnapshot snapshot) =>
        snapshot.ActiveSilos().ToHashSet(StringComparer.Ordinal);

    private static string SiloOf(string worker) => GrainKeys.SiloOf(worker).ToString();
}

using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
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
internal sealed partial class ModelGrain(
    IGrainFactory grains, IModelFiles files, IOptions<ModelGrainOptions> options, TimeProvider time, ILogger<ModelGrain> logger) : Grain, IModelGrain
{
    private readonly List<ModelReplica> _replicas = []; // By number.
    private ReplicaDescriptor[] _published = [];
    private IGrainTimer? _watch;
    private ModelCard? _card; // Set once a replica lives; what was opened stays known while its replicas are away.

    private string Model => this.GetPrimaryKeyString();

    public async Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default)
    {
        DeploymentRules.Require(spec);
        // Surplus first: its cores are free for what comes.
        while (_replicas.Count > spec.Replicas) await RetireAsync(_replicas.Count - 1, cancellationToken);

        for (var index = _replicas.Count; index < spec.Replicas; index++) _replicas.Add(Want(index, spec));
        SetWatch();

        ModelLoadException? failure = null;
        for (var index = 0; index < spec.Replicas; index++)
        {
            try
            {
                await BringAsync(index, spec, cancellationToken);
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

    public async Task ReportEndedAsync(ReplicaLife life, CancellationToken cancellationToken = default)
    {
        var replica = _replicas.Find(replica => replica.Living?.Replica == life);
        if (replica is null) return; // An earlier life, or one that is no longer wanted.
        LogLifeEnded(life.ReplicaId, life.Epoch);
        replica.LifeEnded();
        SetWatch();
        await PublishAsync(cancellationToken);
    }

    private ModelStatus Status() => new(Model, _replicas.Count, Living());

    private ReplicaDescriptor[] Living() => [.. _replicas.Select(replica => replica.Living).OfType<ReplicaDescriptor>()];

    private ModelReplica Want(int index, DeploymentSpec spec)
    {
        var (worker, wanted) = ModelReplica.Plan(Model, index, spec);
        return new(worker, wanted, new RetryClock(options.Value, time));
    }

    /// <summary>Makes one replica what is wanted; where that differs from what it is, it is ended first, while the others go on serving.</summary>
    private async Task BringAsync(int index, DeploymentSpec spec, CancellationToken cancellationToken)
    {
        var wanted = Want(index, spec);
        if (_replicas[index].Worker != wanted.Worker || _replicas[index].Spec != wanted.Spec)
        {
            await UnloadAsync(index, cancellationToken);
            _replicas[index] = wanted;
        }

        await LoadAsync(_replicas[index], cancellationToken);
    }

    /// <summary>Asks for the replica's life: the one it has, or a new one; the router learns of a new one at once.</summary>
    /// <exception cref="ModelLoadException">It cannot be loaded, or its worker does not answer.</exception>
    private async Task LoadAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        try
        {
            replica.Loaded(await grains.GetGrain<IWorkerGrain>(replica.Worker).LoadAsync(replica.Spec, cancellationToken));
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            replica.Retry.LoadFailed();
            SetWatch();
            if (exception is ModelLoadException) throw;
            throw new ModelLoadException($"Worker '{replica.Worker}' could not load '{replica.Spec.ReplicaId}': {exception.GetType().Name}: {exception.Message}");
        }

        await PublishAsync(cancellationToken);
    }

    private async Task RetireAsync(int index, CancellationToken cancellationToken)
    {
        await UnloadAsync(index, cancellationToken);
        _replicas.RemoveAt(index);
        SetWatch();
    }

    /// <summary>First the router forgets it, so that nothing new goes there, then its running sequences get their time to end.</summary>
    private async Task UnloadAsync(int index, CancellationToken cancellationToken)
    {
        var replica = _replicas[index];
        await PublishAsync(cancellationToken, except: replica);
        try
        {
            await grains.GetGrain<IWorkerGrain>(replica.Worker).UnloadAsync(replica.Spec.ReplicaId, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // A worker that is gone took its engines with it; one that only does not answer must not hold the deployment up.
            LogUnloadFailed(replica.Spec.ReplicaId, replica.Worker, exception);
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
        if (_replicas.Count == 0)
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
        foreach (var group in _replicas.Where(replica => replica.Living is not null).GroupBy(replica => replica.Worker).ToList())
        {
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
            {
                LogLifeEnded(replica.Spec.ReplicaId, replica.Living!.Replica.Epoch);
                replica.LifeEnded();
            }
        }
    }

    private async Task LoadMissingAsync(CancellationToken cancellationToken)
    {
        foreach (var replica in _replicas.Where(replica => replica.Living is null && replica.Retry.Remaining == TimeSpan.Zero).ToList())
        {
            try
            {
                await LoadAsync(replica, cancellationToken);
                LogRecovered(replica.Spec.ReplicaId, replica.Living!.Replica.Epoch);
            }
            catch (ModelLoadException exception)
            {
                LogRetry(replica.Spec.ReplicaId, replica.Retry.Remaining.TotalSeconds, exception.Message);
            }
        }
    }
}

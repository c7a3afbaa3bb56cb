using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains.Placement;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Placement;

namespace Granary.Grains.Workers;

/// <summary>Loads and unloads replicas on one device of its silo, and tells their models when a life fails.</summary>
/// <remarks>
/// Its key names its silo, and it refuses to be anywhere else: what it says about cores and memory is about this machine.
/// Loads wait for each other; the engines are the <see cref="EngineHost"/>'s and stay when this activation goes.
/// </remarks>
[KeepAlive, Immovable, HomePlacement]
internal sealed partial class WorkerGrain(EngineHost engines, LocalWorker worker, IGrainFactory grains, ILogger<WorkerGrain> logger) : Grain, IWorkerGrain
{
    private readonly HashSet<HostedReplica> _watched = [];

    private string Key => this.GetPrimaryKeyString();

    public async Task<ReplicaDescriptor> LoadAsync(ReplicaSpec spec, CancellationToken cancellationToken = default)
    {
        RequireHome();
        if (!spec.ReplicaId.StartsWith($"{Key}/", StringComparison.Ordinal))
            throw new ModelLoadException($"Replica '{spec.ReplicaId}' does not belong to worker '{Key}'.");
        var replica = engines.Find(spec.ReplicaId);
        if (replica is null)
        {
            worker.Require(spec);
            replica = await LoadNewAsync(spec, cancellationToken);
        }

        if (_watched.Add(replica))
        {
            _ = ReportDrainAsync(replica);
            _ = ReportEndAsync(replica);
        }

        return replica.Descriptor;
    }

    public Task UnloadAsync(string replicaId, CancellationToken cancellationToken = default)
    {
        RequireHome();
        return engines.UnloadAsync(replicaId, cancellationToken);
    }

    public Task DrainAsync(string replicaId, CancellationToken cancellationToken = default)
    {
        RequireHome();
        engines.Drain(replicaId);
        return Task.CompletedTask;
    }

    public Task<WorkerStatus> GetStatusAsync(CancellationToken cancellationToken = default)
    {
        RequireHome();
        var budget = worker.Measure();
        return Task.FromResult(new WorkerStatus(worker.Device, budget.Cores, budget.MemoryBytes, [.. engines.Replicas.Select(replica => replica.Descriptor)]));
    }

    private async Task<HostedReplica> LoadNewAsync(ReplicaSpec spec, CancellationToken cancellationToken)
    {
        var replica = await engines.LoadAsync(spec, cancellationToken);
        try
        {
            worker.RequireKept(spec);
            return replica;
        }
        catch (ModelLoadException)
        {
            await engines.UnloadAsync(spec.ReplicaId, CancellationToken.None);
            throw;
        }
    }

    /// <remarks>Asked on each call and not on activation: so the caller gets the typed error.</remarks>
    private void RequireHome()
    {
        if (Key == worker.Key) return;
        DeactivateOnIdle();
        throw new ModelLoadException($"Worker '{Key}' was placed on silo '{worker.Silo}', whose worker is '{worker.Key}'.");
    }

    /// <summary>A life that will end is told while it still goes on, so that the next may be there before.</summary>
    private async Task ReportDrainAsync(HostedReplica replica)
    {
        var changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void OnChanged() => changed.TrySetResult();
        replica.Changed += OnChanged;
        if (!replica.IsDraining && !replica.Ended.IsCompleted) await changed.Task;
        replica.Changed -= OnChanged;
        if (replica.Ended.IsCompleted) return;
        try
        {
            await grains.GetGrain<IModelGrain>(replica.Model).ReportDrainingAsync(replica.Descriptor.Replica);
        }
        catch (Exception exception)
        {
            LogReportFailed(replica.ReplicaId, replica.Epoch, exception); // The model hears of its end.
        }
    }

    private async Task ReportEndAsync(HostedReplica replica)
    {
        var failure = await replica.Ended;
        _watched.Remove(replica);
        if (failure is null) return;
        try
        {
            await grains.GetGrain<IModelGrain>(replica.Model).ReportEndedAsync(replica.Descriptor.Replica, failure.Message);
        }
        catch (Exception exception)
        {
            // The model also looks by itself, only later.
            LogReportFailed(replica.ReplicaId, replica.Epoch, exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The end of replica {ReplicaId}, epoch {Epoch}, could not be reported to its model.")]
    private partial void LogReportFailed(string replicaId, long epoch, Exception exception);
}

using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Workers;

/// <summary>Loads and unloads replicas on one device of its silo, and tells their models when a life fails.</summary>
/// <remarks>
/// Its key names its silo, and it refuses to be anywhere else: what it says about cores and memory is about this machine.
/// Loads wait for each other; the engines are the <see cref="EngineHost"/>'s and stay when this activation goes.
/// </remarks>
[KeepAlive, Immovable, PreferLocalPlacement]
internal sealed partial class WorkerGrain(
    EngineHost engines, ILocalSiloDetails silo, IGrainFactory grains, IOptions<WorkerOptions> options, ILogger<WorkerGrain> logger)
    : Grain, IWorkerGrain
{
    /// <summary>The only device there is so far: the cores of the machine.</summary>
    private const string Device = "cpu";

    private readonly HashSet<HostedReplica> _watched = [];

    private string Key => this.GetPrimaryKeyString();

    public async Task<ReplicaDescriptor> LoadAsync(ReplicaSpec spec, CancellationToken cancellationToken = default)
    {
        RequireHome();
        if (engines.Find(spec.ReplicaId) is null) WorkerBudget.Measure(options.Value).Require(spec, engines.Replicas.Select(replica => replica.Spec), Key);
        var replica = await engines.LoadAsync(spec, cancellationToken);
        if (_watched.Add(replica)) _ = ReportEndAsync(replica);
        await RequireAddressAsync(replica, cancellationToken);
        return replica.Descriptor;
    }

    public Task UnloadAsync(string replicaId, CancellationToken cancellationToken = default)
    {
        RequireHome();
        return engines.UnloadAsync(replicaId, cancellationToken);
    }

    public Task<WorkerStatus> GetStatusAsync(CancellationToken cancellationToken = default)
    {
        RequireHome();
        var budget = WorkerBudget.Measure(options.Value);
        return Task.FromResult(new WorkerStatus(Device, budget.Cores, budget.MemoryBytes, [.. engines.Replicas.Select(replica => replica.Descriptor)]));
    }

    /// <remarks>Asked on each call and not on activation: so the caller gets the typed error.</remarks>
    private void RequireHome()
    {
        var expected = $"{silo.Name}/{Device}";
        if (Key == expected) return;
        DeactivateOnIdle(); // The next activation may be placed right.
        throw new ModelLoadException($"Worker '{Key}' was placed on silo '{silo.Name}', whose worker is '{expected}'.");
    }

    /// <summary>The replica's grain must be where its engine is. Called from here, a new activation is placed here.</summary>
    private async Task RequireAddressAsync(HostedReplica replica, CancellationToken cancellationToken)
    {
        try
        {
            var load = await grains.GetGrain<IReplicaGrain>(replica.ReplicaId).GetLoadAsync(cancellationToken);
            if (load.Epoch == replica.Epoch) return;
        }
        catch (ModelNotReadyException)
        {
            // An activation on another silo answered; it goes away by itself, so that a later load succeeds.
        }

        throw new ModelLoadException($"Replica '{replica.ReplicaId}' is still addressed elsewhere than on silo '{silo.Name}'; load it again shortly.");
    }

    private async Task ReportEndAsync(HostedReplica replica)
    {
        var failure = await replica.Ended;
        _watched.Remove(replica);
        if (failure is null) return;
        try
        {
            await grains.GetGrain<IModelGrain>(replica.Model).ReportEndedAsync(replica.Descriptor.Replica);
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

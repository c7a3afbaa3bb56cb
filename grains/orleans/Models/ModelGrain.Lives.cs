using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Placement;

namespace Granary.Grains.Models;

/// <summary>The lives of replicas: loaded where there is room, ended when they are to be otherwise or not at all.</summary>
internal sealed partial class ModelGrain
{
    private async Task<ModelLoadException?> TryBringAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        try
        {
            await BringAsync(replica, cancellationToken);
            return null;
        }
        catch (ModelLoadException exception)
        {
            return exception; // The others are not to suffer; the watch goes on with this one.
        }
    }

    /// <summary>Makes one replica what is wanted; where that differs from what it is, it is ended first, while the others go on serving.</summary>
    private async Task BringAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        await replica.Gate.WaitAsync(cancellationToken);
        try
        {
            if (replica.IsRetired) return;
            if (replica.Placement is { } placement && !placement.Fits(replica.Index, SpecOf(replica)))
            {
                await UnloadAsync(replica, cancellationToken);
                replica.Unloaded();
                if (replica.IsRetired) return;
            }

            await LoadAsync(replica, cancellationToken);
        }
        finally
        {
            replica.Gate.Release();
            SetWatch();
        }
    }

    /// <summary>Asks for the replica's life: the one it has, or a new one, where there is room for it now; routers learn of a new one at once.</summary>
    /// <exception cref="ModelLoadException">It fits nowhere, cannot be loaded, or its worker does not answer.</exception>
    private async Task LoadAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        var planned = replica.Living is null && !SpecOf(replica).IsWhole;
        if (planned) await _planning.WaitAsync(cancellationToken);
        try
        {
            if (replica.Living is null) await PlaceAsync(replica, cancellationToken);
            var placement = replica.Placement!;
            var descriptor = await grains.GetGrain<IWorkerGrain>(placement.Worker).LoadAsync(placement.Spec, cancellationToken);
            replica.Loaded(descriptor, ActiveSilos.Of(membership.CurrentSnapshot).Find(placement.Silo));
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            var error = exception as ModelLoadException
                ?? new ModelLoadException($"Replica '{replica.Name}' could not be loaded on worker '{replica.Placement?.Worker}': {exception.GetType().Name}: {exception.Message}");
            replica.LoadFailed(error.Message);
            throw error;
        }
        finally
        {
            if (planned) _planning.Release();
        }

        if (replica.IsRetired) await EndAsync(replica.Placement!, cancellationToken); // While it was being loaded.
        Publish();
    }

    /// <summary>Where it was tried last may have no room now; what is perhaps still being loaded there is ended before it is tried elsewhere.</summary>
    private async Task PlaceAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        var spec = SpecOf(replica);
        var missing = _replicas.Count(other => other.Share == replica.Share && other.Living is null);
        var placement = await planner.PlaceAsync(Model, replica.Index, spec, missing, replica.Leaving, living => EndAsync(living, cancellationToken), cancellationToken);
        if (replica.Placement is { } last && last != placement) await EndAsync(last, cancellationToken);
        replica.Place(placement);
    }

    private async Task RetireAsync(List<ModelReplica> surplus, CancellationToken cancellationToken)
    {
        Publish();
        foreach (var replica in surplus)
        {
            // Not behind its gate: what is being loaded is given up by its worker.
            if (replica.Placement is { } placement) await EndAsync(placement, cancellationToken);
        }
    }

    /// <summary>First the routers forget it, so that nothing new goes there, then its running sequences get their time to end.</summary>
    private async Task UnloadAsync(ModelReplica replica, CancellationToken cancellationToken)
    {
        replica.IsEnding = true;
        Publish();
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
}

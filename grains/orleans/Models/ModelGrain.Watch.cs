using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Placement;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Models;

/// <summary>The watch: finds what has ended, brings back what is missing, ends what nobody wants.</summary>
internal sealed partial class ModelGrain
{
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
        var due = _replicas.Where(replica => replica.Living is null && replica.Gate.CurrentCount > 0).Select(replica => replica.Retry.Remaining).Append(period).Min();
        if (_watch is null) _watch = this.RegisterGrainTimer(LookAsync, new() { DueTime = due, Period = period, Interleave = true, KeepAlive = true });
        else _watch.Change(due, period);
    }

    private async Task LookAsync(CancellationToken cancellationToken)
    {
        try
        {
            FollowMembership();
            await FindEndedAsync(cancellationToken);
            RecoverMissing();
            if (_shares.TryGetValue("", out var deployment) && !deployment.IsWhole) await EndStraysAsync(cancellationToken);
            await AnnounceAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogWatchFailed(Model, exception);
        }

        SetWatch();
    }

    /// <summary>Shares and lives go with their silos; what can be brought back elsewhere is, at once.</summary>
    private void FollowMembership()
    {
        var active = ActiveSilos.Of(membership.CurrentSnapshot);
        ForgetAbsent(active);
        foreach (var replica in _replicas.Where(replica => replica.Living is not null))
        {
            var silo = replica.Placement!.Silo;
            var address = active.Find(silo);
            if (address is not null && (replica.Silo is null || replica.Silo.Equals(address))) continue;
            End(replica, address is null ? $"Silo '{silo}' is gone." : $"Silo '{silo}' was started again.");
            replica.Retry.Forget(); // Not by a failure of its own.
        }

        Publish();
        RecoverMissing();
    }

    private void RecoverMissing()
    {
        if (_ended.IsCancellationRequested) return;
        foreach (var replica in _replicas.Where(replica => replica.Living is null && replica.Retry.Remaining == TimeSpan.Zero).ToList()) _ = RecoverAsync(replica);
    }

    /// <summary>Compares what is thought to live with what the workers say. One that does not answer delays no other.</summary>
    private async Task FindEndedAsync(CancellationToken cancellationToken)
    {
        await Task.WhenAll(_replicas.Where(replica => replica.Living is not null).GroupBy(replica => replica.Placement!.Worker).Select(group => AskAsync(group.Key, [.. group], cancellationToken)));
        Publish();
    }

    private async Task AskAsync(string worker, ModelReplica[] replicas, CancellationToken cancellationToken)
    {
        var asked = Array.ConvertAll(replicas, replica => replica.Living);
        try
        {
            var status = await grains.GetGrain<IWorkerGrain>(worker).GetStatusAsync(cancellationToken).WaitAsync(options.Value.WatchPeriod, time, cancellationToken);
            for (var index = 0; index < replicas.Length; index++)
            {
                var (replica, life) = (replicas[index], asked[index]!.Replica);
                // It may be in another life by now.
                if (replica.Living?.Replica == life && !status.Replicas.Any(living => living.Replica == life)) End(replica, $"Worker '{worker}' does not run it any more.");
            }
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // Nobody knows of these lives now; routers leave out those they do not reach by themselves.
            LogWorkerSilent(worker, Model, exception);
        }
    }

    private void End(ModelReplica replica, string why)
    {
        LogLifeEnded(replica.Name, replica.Living!.Replica.Epoch);
        replica.LifeEnded(why);
    }

    /// <summary>Brings back one replica, beside everything else.</summary>
    private async Task RecoverAsync(ModelReplica replica)
    {
        if (!await replica.Gate.WaitAsync(TimeSpan.Zero)) return; // It is being brought already.
        try
        {
            if (replica.IsRetired || replica.Living is not null) return;
            await LoadAsync(replica, _ended.Token);
            LogRecovered(replica.Name, replica.Living!.Replica.Epoch);
        }
        catch (ModelLoadException exception)
        {
            LogRetry(replica.Name, replica.Retry.Remaining.TotalSeconds, exception.Message);
        }
        catch (OperationCanceledException)
        {
            // The activation ends.
        }
        finally
        {
            replica.Gate.Release();
            SetWatch();
        }
    }

    private async Task EndStraysAsync(CancellationToken cancellationToken)
    {
        // Those that are not placed yet may be adopted when they are.
        if (_replicas.Exists(replica => replica.Living is null)) return;
        var wanted = _replicas.Select(replica => replica.Placement?.Spec.ReplicaId).OfType<string>().ToHashSet(StringComparer.Ordinal);
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
            var known = ActiveSilos.Of(membership.CurrentSnapshot);
            await foreach (var snapshot in membership.MembershipUpdates.WithCancellation(cancellationToken))
            {
                if (snapshot.Members.GetValueOrDefault(silo.SiloAddress)?.Status is SiloStatus.ShuttingDown or SiloStatus.Stopping or SiloStatus.Dead)
                {
                    await _ended.CancelAsync();
                    SetWatch();
                    return;
                }

                var active = ActiveSilos.Of(snapshot);
                if (active.SetEquals(known)) continue;
                known = active;
                foreach (var replica in _replicas.Where(replica => replica.Living is null)) replica.Retry.Forget();
                FollowMembership();
                SetWatch();
            }
        }
        catch (OperationCanceledException)
        {
            // The activation ends.
        }
    }
}

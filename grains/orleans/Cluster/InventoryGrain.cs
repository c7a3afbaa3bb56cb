using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.Grains.Placement;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Cluster;

/// <summary>Remembers which workers have reported, each silo's for as long as a few of its reports may be lost.</summary>
[PreferLocalPlacement]
internal sealed class InventoryGrain(IClusterMembershipService membership, IOptions<InventoryOptions> options, TimeProvider time) : Grain, IInventoryGrain
{
    /// <summary>Workers of a cluster.</summary>
    public const int MaxWorkers = 4096;

    /// <summary>Reports in a row that may be lost.</summary>
    private const int Lives = 3;

    /// <summary>Longest that a question waits for silos that have not reported: less than its caller does.</summary>
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, (WorkerReport[] Workers, DateTimeOffset Ends)> _silos = new(StringComparer.Ordinal);
    private TaskCompletionSource _reported = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private TimeSpan Period => options.Value.ReportPeriod;

    /// <summary>A period for the next report of each, and another for its way.</summary>
    private TimeSpan Wait => Period * 2 < MaxWait ? Period * 2 : MaxWait;

    public Task<TimeSpan> ReportAsync(string silo, WorkerReport[] workers, CancellationToken cancellationToken = default)
    {
        if (Array.Find(workers, worker => worker.Silo != silo) is { } foreign)
            throw new RequestRefusedException($"Silo '{silo}' reports worker '{foreign.Worker}' of silo '{foreign.Silo}'.", "workers");
        ForgetExpired();
        var others = _silos.Where(other => other.Key != silo).Sum(other => other.Value.Workers.Length);
        if (others + workers.Length > MaxWorkers)
            throw new RequestRefusedException($"Silo '{silo}' reports {workers.Length} workers; with {others} others the inventory holds at most {MaxWorkers}.", "workers");
        _silos[silo] = (workers, time.GetUtcNow() + (Period * Lives));
        _reported.SetResult();
        _reported = new(TaskCreationOptions.RunContinuationsAsynchronously);
        return Task.FromResult(Period);
    }

    public Task WithdrawAsync(string silo, CancellationToken cancellationToken = default)
    {
        _silos.Remove(silo);
        return Task.CompletedTask;
    }

    public async Task<WorkerReport[]> GetWorkersAsync(CancellationToken cancellationToken = default)
    {
        // A silo that died is known to the membership before its lease is over, and one that has joined before its first report.
        var active = ActiveSilos();
        var askedAt = time.GetTimestamp();
        while (!active.IsSubsetOf(_silos.Keys) && Wait - time.GetElapsedTime(askedAt) is var remaining && remaining > TimeSpan.Zero)
        {
            await ((Task)_reported.Task).WaitAsync(remaining, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            cancellationToken.ThrowIfCancellationRequested();
            active = ActiveSilos();
        }

        ForgetExpired();
        return [.. _silos.Where(silo => active.Contains(silo.Key)).SelectMany(silo => silo.Value.Workers).OrderBy(worker => worker.Worker, StringComparer.Ordinal)];
    }

    private HashSet<string> ActiveSilos() =>
        membership.CurrentSnapshot.ActiveSilos().ToHashSet(StringComparer.Ordinal);

    private void ForgetExpired()
    {
        var now = time.GetUtcNow();
        foreach (var silo in _silos.Where(silo => silo.Value.Ends <= now).Select(silo => silo.Key).ToList()) _silos.Remove(silo);
    }
}

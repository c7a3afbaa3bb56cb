using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Cluster;

/// <summary>The workers of the cluster, as their silos report them. Key: 0.</summary>
/// <remarks>
/// Soft state: every silo reports each few seconds, so a new activation knows all of them within one period. Who is silent, or no member
/// of the cluster any more, is left out.
/// </remarks>
[Alias("granary.inventory")]
public interface IInventoryGrain : IGrainWithIntegerKey
{
    /// <summary>A silo tells what its workers are and do; what it told before is replaced.</summary>
    /// <param name="silo">Its name; that of every worker in <paramref name="workers"/>.</param>
    /// <returns>When to report again at the latest.</returns>
    /// <exception cref="Errors.RequestRefusedException">The report names another silo, or there are too many workers.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("report")]
    Task<TimeSpan> ReportAsync(string silo, WorkerReport[] workers, CancellationToken cancellationToken = default);

    /// <summary>A silo that stops takes its workers out at once.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("withdraw")]
    Task WithdrawAsync(string silo, CancellationToken cancellationToken = default);

    /// <summary>The workers that have reported lately, by key in ordinal order.</summary>
    /// <remarks>Answers once every silo of the cluster has reported, or after two periods.</remarks>
    [AlwaysInterleave, ResponseTimeout("00:00:15"), Alias("workers")]
    Task<WorkerReport[]> GetWorkersAsync(CancellationToken cancellationToken = default);
}

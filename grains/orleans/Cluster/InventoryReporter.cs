using Granary.GrainInterfaces.Cluster;
using Granary.Grains.Workers;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;

namespace Granary.Grains.Cluster;

/// <summary>Tells the inventory what this silo's worker has and does: each period, and at once when something begins or ends, or a silo comes or goes.</summary>
internal sealed partial class InventoryReporter(
    EngineHost engines, ShardHost shards, LocalWorker worker, IClusterMembershipService membership, IGrainFactory grains, IOptions<InventoryOptions> options,
    TimeProvider time, ILogger<InventoryReporter> logger) : BackgroundService
{
    /// <summary>Pause after a report that did not arrive: whoever plans after a silo's loss waits for it.</summary>
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(250);

    private readonly SemaphoreSlim _changed = new(0, 1); // Changes that were not yet told are one change.

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        engines.Changed += OnChanged;
        shards.Changed += OnChanged;
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Takes the worker out at once: nothing new is planned onto a silo that stops.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        engines.Changed -= OnChanged;
        shards.Changed -= OnChanged;
        if (ExecuteTask is null or { IsCompleted: true }) return; // It has been told, or there was nothing to tell.
        await base.StopAsync(cancellationToken);
        try
        {
            await grains.GetGrain<IInventoryGrain>(0).WithdrawAsync(worker.Silo, cancellationToken);
        }
        catch (Exception exception)
        {
            // Its lease ends soon, and the membership tells as well.
            LogNotWithdrawn(worker.Silo, exception);
        }
    }

    public override void Dispose()
    {
        _changed.Dispose();
        base.Dispose();
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(ReportAsync(stoppingToken), FollowMembershipAsync(stoppingToken));

    /// <summary>With a silo the inventory may have been lost: a new one waits to hear of everybody.</summary>
    private async Task FollowMembershipAsync(CancellationToken stoppingToken)
    {
        try
        {
            await foreach (var _ in membership.MembershipUpdates.WithCancellation(stoppingToken)) OnChanged();
        }
        catch (OperationCanceledException)
        {
            // The silo stops.
        }
    }

    private async Task ReportAsync(CancellationToken stoppingToken)
    {
        var period = options.Value.ReportPeriod;
        while (!stoppingToken.IsCancellationRequested)
        {
            var pause = period;
            try
            {
                var asked = await grains.GetGrain<IInventoryGrain>(0).ReportAsync(worker.Silo, [worker.Describe()], stoppingToken);
                if (asked > TimeSpan.Zero && asked < period) period = asked;
                pause = period;
            }
            catch (Exception exception) when (!stoppingToken.IsCancellationRequested)
            {
                if (RetryPause < period) pause = RetryPause;
                LogNotReported(worker.Silo, pause.TotalSeconds, exception);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            using var wake = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
            await Task.WhenAny(_changed.WaitAsync(wake.Token), Task.Delay(pause, time, wake.Token));
            await wake.CancelAsync();
        }
    }

    private void OnChanged()
    {
        try
        {
            _changed.Release();
        }
        catch (Exception exception) when (exception is SemaphoreFullException or ObjectDisposedException)
        {
            // It is to be told already, or nobody tells any more.
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The worker of silo {Silo} could not be reported to the inventory; again in {Seconds:F1} s.")]
    private partial void LogNotReported(string silo, double seconds, Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "The worker of silo {Silo} could not be taken out of the inventory.")]
    private partial void LogNotWithdrawn(string silo, Exception exception);
}

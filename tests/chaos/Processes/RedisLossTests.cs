namespace Granary.Tests.Chaos.Processes;

/// <summary>The Redis that holds membership and states is lost under load.</summary>
[Trait("Category", Chaos.Category)]
public sealed class RedisLossTests
{
    /// <summary>No answer needs Redis, neither while it is silent nor while it is away; and it has what it had when it is back.</summary>
    [ProcessFact]
    public Task Frozen_ThenKilledAndStartedAgain_NoCallerNotices() => ProcessCluster.RunAsync(3, async cluster =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        cluster.Redis.Freeze();
        await load.WaitTokensAsync(3000);
        await Task.Delay(TimeSpan.FromSeconds(5)); // The silos' own period of writing that they live.
        cluster.Redis.Thaw();
        await load.WaitTokensAsync(500);

        await cluster.Redis.KillAsync();
        await load.WaitTokensAsync(3000);
        await cluster.Redis.StartAsync();
        await load.WaitTokensAsync(500);

        // It is a cluster still: who dies is given up, and who comes is taken in.
        await cluster.Silos[2].KillAsync();
        await load.WaitTokensAsync(1000);
        await cluster.Silos[2].RestartAsync();
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });

    /// <summary>All that it had is gone, the list of members too. It is a cluster still: who leaves has left, who dies is given up, and who comes is taken in.</summary>
    [ProcessFact]
    public Task FlushAll_NoCallerNotices_AndTheClusterStays() => ProcessCluster.RunAsync(3, async cluster =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        await load.WaitTokensAsync(500);
        await cluster.Redis.FlushAsync();
        await load.WaitTokensAsync(2000);
        await cluster.Silos[1].TerminateAsync();
        await cluster.Silos[1].RestartAsync();
        await cluster.WaitWholeAsync();

        // Journals that left with the silo are taken in elsewhere, and written again, with their gateways' next signs of life: one a second.
        await Task.Delay(TimeSpan.FromSeconds(3));
        await cluster.Redis.FlushAsync();
        await cluster.Silos[2].KillAsync();
        await load.WaitTokensAsync(2000);
        await cluster.Silos[2].RestartAsync();
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });
}

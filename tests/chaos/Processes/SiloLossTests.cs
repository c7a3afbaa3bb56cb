namespace Granary.Tests.Chaos.Processes;

/// <summary>A silo process dies or freezes under load.</summary>
[Trait("Category", Chaos.Category)]
public sealed class SiloLossTests
{
    /// <summary>The gateway of the dead is the gateway of some callers: they go on with their streams at another.</summary>
    [ProcessFact]
    public Task Kill9_EveryStreamEndsAsIfNothingHadHappened() => ProcessCluster.RunAsync(3, async cluster =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        foreach (var victim in cluster.Silos[..2])
        {
            await load.WaitTokensAsync(500);
            await victim.KillAsync();
            await load.WaitTokensAsync(2000);
            await victim.RestartAsync();
            await cluster.WaitWholeAsync();
        }

        await load.StopAsync();
    });

    /// <summary>Frozen for three seconds and frozen for good: the callers of the others notice a pause. Who was given up ends by itself when it wakes.</summary>
    [ProcessFact]
    public Task SigStop_StreamsGoOn_AndTheZombieEndsItself() => ProcessCluster.RunAsync(3, async cluster =>
    {
        var frozen = cluster.Silos[2];
        await using var load = await ProcessLoad.StartAsync(cluster.Silos[..2]);
        await load.WaitTokensAsync(500);
        frozen.Freeze();
        await Task.Delay(TimeSpan.FromSeconds(3));
        frozen.Thaw();
        await load.WaitTokensAsync(3000);
        if (!frozen.IsRunning) await frozen.RestartAsync(); // On a slow machine it may have been given up already.
        await cluster.WaitWholeAsync();

        frozen.Freeze();
        await load.WaitTokensAsync(3000);
        await Wait.UntilAsync(async () => await cluster.Silos[0].AskAsync("/admin/topology") is { } topology && !topology.Contains("\"silo-3\"", StringComparison.Ordinal), "the others give it up");
        frozen.Thaw();
        await frozen.WaitExitAsync();
        Assert.NotEqual(0, frozen.ExitCode);
        await frozen.RestartAsync();
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });

    /// <summary>Each silo once is told to stop and started again, as for a new version.</summary>
    [ProcessFact]
    public Task RollingRestart_NoCallerNotices() => ProcessCluster.RunAsync(3, async cluster =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        foreach (var silo in cluster.Silos)
        {
            await load.WaitTokensAsync(500);
            await silo.TerminateAsync();
            await silo.RestartAsync();
            await cluster.WaitWholeAsync();
        }

        await load.StopAsync();
    });

    /// <summary>A replica of three stages, one on each silo: without one of them there is none, and its streams wait until there is.</summary>
    [ProcessFact]
    public Task Kill9_OfAStage_ItsStreamsWaitAndGoOn() => ProcessCluster.RunAsync(
        3,
        async cluster =>
        {
            await using var load = await ProcessLoad.StartAsync(cluster.Silos, callers: 4, tokens: 200, retries: 10); // New requests are refused meanwhile.
            foreach (var victim in cluster.Silos)
            {
                await load.WaitTokensAsync(200);
                await victim.KillAsync();
                await victim.RestartAsync();
                await cluster.WaitWholeAsync();
            }

            await load.WaitTokensAsync(200);
            await load.StopAsync();
        },
        ["--stages", "3"]);
}

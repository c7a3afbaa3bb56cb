namespace Granary.Tests.Chaos;

/// <summary>The cluster changes in order, under load: 16, 17, 27 and 28 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class ChangeTests
{
    /// <summary>16: all silos are restarted one after the other: no error, no retry, no other answer.</summary>
    [SimulatedFact]
    public Task RollingRestart_UnderLoad_NobodyNotices() => Scenario.RunAsync("rolling restart of all silos", async (cluster, random) =>
    {
        using var continuations = new Continuations();
        var load = new SteadyLoad(cluster, random, callers: 8, _ => cluster.Outside);
        for (var n = 0; n < cluster.Silos.Count; n++)
        {
            await cluster.DelayAsync(TimeSpan.FromSeconds(1));
            await cluster.StopAsync(n);
            await cluster.RestartAsync(n);
            await cluster.DeployedAsync();
        }

        await load.StopAsync();
        await Leaks.RequireNoneAsync(cluster);
        Assert.Equal(0, continuations.Losses);
    });

    /// <summary>17: a silo that stops while it makes long answers hands them over: none is cut.</summary>
    [SimulatedFact]
    public Task Drain_WithLongStreams_HandsThemOver() => Scenario.RunAsync("Silo_1 stops", async (cluster, random) =>
    {
        using var continuations = new Continuations();
        var requests = RequestMix.Draw(random, 24, leastTokens: 400, mostTokens: 500);
        var run = await LoadRun.StartAsync(cluster, random, requests.Count, gateways: [-1, 0, 2, 3], requests: requests);
        await cluster.DelayAsync(TimeSpan.FromSeconds(1.5));
        await cluster.StopAsync(1);
        await run.FinishAsync();
        Assert.True(continuations.Of("drain") > 0, "Nobody was reading from the silo that stopped: the scenario shows nothing.");
        Assert.Equal(0, continuations.Losses);
    });

    /// <summary>27: silos crash, stop, and come, again and again, while requests go on.</summary>
    [SimulatedFact]
    public Task Churn_UnderLoad_EveryAnswerIsExact() => Scenario.RunAsync(
        "20 silos out, 20 in",
        async (cluster, random) =>
        {
            var load = new SteadyLoad(cluster, random, callers: 8, _ => cluster.Outside);
            for (var turn = 0; turn < 20; turn++)
            {
                await cluster.DelayAsync(TimeSpan.FromMilliseconds(random.Next(100, 1500)));
                var silo = random.Next(cluster.Silos.Count);
                if (random.Next(2) == 0) cluster.Crash(silo);
                else await cluster.StopAsync(silo);
                await cluster.DelayAsync(TimeSpan.FromMilliseconds(random.Next(100, 3000)));
                await cluster.RestartAsync(silo);
            }

            await load.StopAsync();
            await cluster.HealAsync();
            await Leaks.RequireNoneAsync(cluster);
        },
        new() { Silos = 5 });

    /// <summary>28: the same for longer; memory does not grow with what was done.</summary>
    [SimulatedFact]
    public Task Soak_WithACrashEachTenSeconds_KeepsItsMemory() => Scenario.RunAsync(
        "a minute and a half of load, a crash each 10 s",
        async (cluster, random) =>
        {
            var load = new SteadyLoad(cluster, random, callers: 3, _ => cluster.Outside);
            long settled = 0;
            for (var turn = 0; turn < 8; turn++)
            {
                await cluster.DelayAsync(TimeSpan.FromSeconds(6));
                cluster.Crash(turn % cluster.Silos.Count);
                await cluster.DelayAsync(TimeSpan.FromSeconds(2));
                await cluster.HealAsync();
                await cluster.DelayAsync(TimeSpan.FromSeconds(2));
                if (turn == 2) settled = GC.GetTotalMemory(forceFullCollection: true);
            }

            var grown = GC.GetTotalMemory(forceFullCollection: true) - settled;
            await load.StopAsync();
            await Leaks.RequireNoneAsync(cluster);
            Assert.True(grown < 16L << 20, $"Memory grew by {grown >> 10} KiB over {load.Answers} answers.");
        },
        new() { Silos = 3 });
}

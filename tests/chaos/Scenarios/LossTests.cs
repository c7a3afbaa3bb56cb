namespace Granary.Tests.Chaos;

/// <summary>A replica is lost while it answers: each caller gets its answer nevertheless, to the bit. The numbers are those of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class LossTests
{
    /// <summary>1 and 3: kill -9 in the middle of streams of every kind.</summary>
    [SimulatedFact]
    public Task Crash_MidStream_EveryAnswerIsExact() => Scenario.RunAsync("kill -9 of Silo_2", async (cluster, random) =>
    {
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, gateways: [-1, 0, 1, 3]);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
        cluster.Crash(2);
        await run.FinishAsync();
    });

    /// <summary>1: the second replica dies while it goes on with what the first has lost.</summary>
    [SimulatedFact]
    public Task Crash_OfTwoSilosOneAfterTheOther_EveryAnswerIsExact() => Scenario.RunAsync("kill -9 of Silo_2, and of Silo_3 0.9 s later", async (cluster, random) =>
    {
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, gateways: [-1, 0, 1]);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.3));
        cluster.Crash(2);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.9));
        cluster.Crash(3);
        await run.FinishAsync();
    });

    /// <summary>5: a silo hangs and wakes: what it says then of streams that went on elsewhere is of no account.</summary>
    [SimulatedFact]
    public Task Freeze_AndThawBeforeItIsDeclaredDead_ZombieIsFenced() => Scenario.RunAsync("SIGSTOP of Silo_2 for 3 s", async (cluster, random) =>
    {
        using var continuations = new Continuations();
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, gateways: [-1, 0, 1, 3]);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.35));
        cluster.Freeze(2);
        await cluster.DelayAsync(TimeSpan.FromSeconds(3));
        cluster.Thaw(2);
        await run.FinishAsync();
        Assert.True(continuations.Losses > 0, "Nobody was reading from the frozen silo: the scenario shows nothing.");
    });

    /// <summary>5: it hangs so long that the cluster declares it dead; when it wakes it ends itself.</summary>
    [SimulatedFact]
    public Task Freeze_BeyondTheMembershipsPatience_EveryAnswerIsExact() => Scenario.RunAsync("SIGSTOP of Silo_1 for 8 s", async (cluster, random) =>
    {
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, gateways: [-1, 0, 2, 3]);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.35));
        cluster.Freeze(1);
        await cluster.DelayAsync(TimeSpan.FromSeconds(8));
        cluster.Thaw(1);
        await run.FinishAsync();
    });

    /// <summary>9: the silo of the router that all clients outside share dies with it.</summary>
    [SimulatedFact]
    public Task Crash_OfTheSharedRoutersSilo_NoRequestFails() => Scenario.RunAsync("kill -9 of the silo that has the shared router", async (cluster, random) =>
    {
        var run = await LoadRun.StartAsync(cluster, random, sequences: 32, gateways: [-1], spread: TimeSpan.FromSeconds(3));
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
        cluster.Crash(cluster.FindRouter(null));
        await run.FinishAsync();
    });
}

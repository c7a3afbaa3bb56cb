namespace Granary.Tests.Chaos;

/// <summary>A replica is lost while it answers: each caller gets its answer nevertheless, to the bit.</summary>
[Trait("Category", Chaos.Category)]
public sealed class LossTests
{
    /// <summary>peers.md §4.3, 1: kill -9 in the middle of streams.</summary>
    [SimulatedFact]
    public async Task Crash_MidStream_EveryAnswerIsExact()
    {
        var seed = Chaos.Seed(1);
        await using var cluster = await ChaosCluster.StartAsync();
        await cluster.RunAsync($"CHAOS_SEED={seed}: kill -9 of Silo_2 at 0.4 s", async () =>
        {
            var run = await LoadRun.StartAsync(cluster, new Random(seed), sequences: 32, gateways: [-1, 0, 1, 3]);
            await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
            cluster.Crash(2);
            await run.Completed;
            run.RequireExact();
            await cluster.HealAsync();
            await Leaks.RequireNoneAsync(cluster);
        });
    }
}

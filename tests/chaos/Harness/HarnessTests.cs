namespace Granary.Tests.Chaos;

/// <summary>What the other scenarios stand on.</summary>
[Trait("Category", Chaos.Category)]
public sealed class HarnessTests
{
    /// <summary>Without a fault all is as an engine alone gives it, through every gateway, and nothing is left behind.</summary>
    [SimulatedFact]
    public async Task Load_WithoutFaults_IsExact()
    {
        await using var cluster = await ChaosCluster.StartAsync();
        await cluster.RunAsync("no fault", async () =>
        {
            var run = await LoadRun.StartAsync(cluster, new Random(7), sequences: 32);
            await run.Completed;
            run.RequireExact();
            await Leaks.RequireNoneAsync(cluster);
        });
    }
}

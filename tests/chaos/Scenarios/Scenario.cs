namespace Granary.Tests.Chaos;

/// <summary>One scenario on a cluster of its own, with its seed.</summary>
internal static class Scenario
{
    /// <param name="what">What is going to happen, for who reads of its failure.</param>
    public static async Task RunAsync(string what, Func<ChaosCluster, Random, Task> scenario, ChaosOptions? options = null, int seed = 1)
    {
        seed = Chaos.Seed(seed);
        await using var cluster = await ChaosCluster.StartAsync(options);
        await cluster.RunAsync($"CHAOS_SEED={seed}: {what}", () => scenario(cluster, new Random(seed)));
    }
}

using System.Collections.Concurrent;

namespace Granary.Tests.Chaos;

/// <summary>Runs a scenario with many seeds, several clusters side by side, each used again for the next seed once it is healed.</summary>
internal static class SeedLanes
{
    /// <summary>Clusters at a time: enough that two cores always have something to do between two jumps of the clock.</summary>
    private const int Lanes = 6;

    /// <summary>More failures than this say nothing more.</summary>
    private const int MostFailures = 5;

    /// <param name="scenario">Makes a seed's plan, which says what it will do, and what does it.</param>
    /// <exception cref="Xunit.Sdk.XunitException">Some seeds failed; each tells how to run it alone.</exception>
    public static async Task RunAsync(IReadOnlyList<int> seeds, ChaosOptions options, Func<ChaosCluster, int, (string Plan, Func<Task> Run)> scenario)
    {
        var left = new ConcurrentQueue<int>(seeds);
        var failures = new ConcurrentQueue<string>();
        await Task.WhenAll(Enumerable.Range(0, Math.Min(Lanes, seeds.Count)).Select(lane => Task.Run(() => RunLaneAsync(lane))));
        if (!failures.IsEmpty) Assert.Fail(string.Join("\n\n", failures));

        async Task RunLaneAsync(int lane)
        {
            ChaosCluster? cluster = null;
            while (failures.Count < MostFailures && left.TryDequeue(out var seed))
            {
                try
                {
                    cluster ??= await ChaosCluster.StartAsync(options with { Seed = lane });
                    var (plan, run) = scenario(cluster, seed);
                    await cluster.RunAsync($"CHAOS_SEED={seed}: {plan}", run);
                }
                catch (Exception exception)
                {
                    failures.Enqueue(exception is Xunit.Sdk.XunitException ? exception.Message : exception.ToString());
                    if (cluster is not null) await cluster.DisposeAsync();
                    cluster = null; // What state it is in nobody knows.
                }
            }

            if (cluster is not null) await cluster.DisposeAsync();
        }
    }
}

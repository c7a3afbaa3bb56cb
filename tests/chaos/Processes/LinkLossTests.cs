namespace Granary.Tests.Chaos.Processes;

/// <summary>Silos with a network each, whose links are cut and delayed under load.</summary>
[Trait("Category", Chaos.Category)]
public sealed class LinkLossTests
{
    private const int Last = 2;

    /// <summary>Cut off from all others and from Redis, in both directions or in one: the others give it up, and it ends itself once it can hear so.</summary>
    [NetworkTheory]
    [InlineData(true)]
    [InlineData(false)]
    public Task SiloCutOff_StreamsGoOn_AndItEndsItself(bool bothWays) => RunAsync(async (cluster, network) =>
    {
        var lost = cluster.Silos[Last];
        await using var load = await ProcessLoad.StartAsync(cluster.Silos[..Last]);
        await load.WaitTokensAsync(500);
        network.CutOff(Last, incoming: bothWays);
        await load.WaitTokensAsync(3000);
        await Wait.UntilAsync(async () => await cluster.Silos[0].AskAsync("/admin/topology") is { } topology && !topology.Contains("\"silo-3\"", StringComparison.Ordinal), "the others give it up");
        network.Mend();
        await lost.WaitExitAsync();
        Assert.NotEqual(0, lost.ExitCode);
        await lost.RestartAsync();
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });

    /// <summary>Two silos lose each other, and a third reaches both.</summary>
    [NetworkTheory]
    [InlineData(true)]
    [InlineData(false)]
    public Task LinkCut_StreamsGoOn(bool bothWays) => RunAsync(async (cluster, network) =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        await load.WaitTokensAsync(500);
        network.Cut(1, Last);
        if (bothWays) network.Cut(Last, 1);
        await load.WaitTokensAsync(5000);
        network.Mend();
        await load.WaitTokensAsync(500);
        foreach (var silo in cluster.Silos.Where(silo => !silo.IsRunning)) await silo.RestartAsync(); // One of two that lose each other may be given up.
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });

    [NetworkFact]
    public Task LinksOfFiftyMilliseconds_ChangeNothing() => RunAsync(async (cluster, network) =>
    {
        await using var load = await ProcessLoad.StartAsync(cluster.Silos);
        network.Delay(TimeSpan.FromMilliseconds(50));
        await load.WaitTokensAsync(3000);
        await cluster.Silos[Last].KillAsync();
        await load.WaitTokensAsync(3000);
        await cluster.Silos[Last].RestartAsync();
        await cluster.WaitWholeAsync();
        await load.StopAsync();
    });

    private static async Task RunAsync(Func<ProcessCluster, SiloNetwork, Task> scenario)
    {
        await using var network = new SiloNetwork(Last + 1);
        await ProcessCluster.RunAsync(Last + 1, cluster => scenario(cluster, network), network: network);
    }
}

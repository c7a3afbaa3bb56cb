namespace Granary.Tests.Chaos;

#if SIMULATED
/// <summary>The network loses what it should carry. 12 and 14 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class NetworkTests
{
    /// <summary>14: any way between two members, the client included, is cut for a while, one direction only or both: nobody hears anything twice, and nobody misses anything.</summary>
    [SimulatedFact]
    public Task AnyWay_CutForAWhile_EveryAnswerIsExact() => SeedLanes.RunAsync(Chaos.Seeds(60), new(), (cluster, seed) =>
    {
        var random = new Random(seed);
        var from = random.Next(-1, cluster.Silos.Count);
        var to = (from + 2 + random.Next(cluster.Silos.Count)) % (cluster.Silos.Count + 1) - 1; // Another one.
        var both = random.Next(2) == 0;
        var at = TimeSpan.FromMilliseconds(random.Next(30, 800));
        var lasts = TimeSpan.FromMilliseconds(random.Next(300, 12_000));
        return ($"the way from {from} to {to}{(both ? " and back" : "")} is cut after {at} for {lasts}", RunAsync);

        async Task RunAsync()
        {
            var run = await LoadRun.StartAsync(cluster, random, sequences: 32);
            await cluster.DelayAsync(at);
            cluster.CutWay(from, to);
            if (both) cluster.CutWay(to, from);
            await cluster.DelayAsync(lasts);
            cluster.CutWay(from, to, cut: false);
            cluster.CutWay(to, from, cut: false);
            await run.FinishAsync();
        }
    });

    /// <summary>12: a share of all messages is lost, whatever they carry, and ways are slow.</summary>
    [SimulatedFact]
    public Task AnyMessage_LostOrLate_EveryAnswerIsExact() => SeedLanes.RunAsync(Chaos.Seeds(20), new(), (cluster, seed) =>
    {
        var random = new Random(seed);
        var share = 0.001 + 0.004 * random.NextDouble(); // Connections lose whole runs of messages at most: three losses in a row end a request.
        var (slow, delay) = (random.Next(cluster.Silos.Count), TimeSpan.FromMilliseconds(random.Next(1, 150)));
        return ($"{share:P1} of all messages are lost for 3 s, and those from Silo_{slow} come {delay} late", RunAsync);

        async Task RunAsync()
        {
            var run = await LoadRun.StartAsync(cluster, random, sequences: 16);
            cluster.Faults.LoseMessages(share, seed);
            foreach (var to in cluster.Silos.Where(to => to.Name != cluster.Silos[slow].Name)) cluster.Faults.DelayWay(cluster.Silos[slow].Handle, to.Handle, delay);
            await cluster.DelayAsync(TimeSpan.FromSeconds(3));
            cluster.Faults.LoseMessages(0, 0);
            await run.FinishAsync();
        }
    });

    /// <summary>14: bookings whose answers or returns are lost are given back once the router hears it.</summary>
    [SimulatedFact]
    public Task Booking_WhoseReturnIsLost_IsGivenBackOnceTheRouterHears() => Scenario.RunAsync("the client cannot reach the silo of its router for 7 s", async (cluster, random) =>
    {
        var run = await LoadRun.StartAsync(cluster, random, sequences: 16, gateways: [-1]);
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
        cluster.CutWay(-1, cluster.FindRouter(null));
        await cluster.DelayAsync(TimeSpan.FromSeconds(7));
        await run.FinishAsync();
    });

    /// <summary>13: grain storage fails, is slow and forgets while streams run: they need none.</summary>
    [SimulatedFact]
    public Task Storage_GoneSlowAndFlushed_StreamsDoNotNotice() => Scenario.RunAsync("storage is gone, slow, flushed", async (cluster, random) =>
    {
        using var continuations = new Continuations();
        var run = await LoadRun.StartAsync(cluster, random, sequences: 24, spread: TimeSpan.FromSeconds(6));
        await cluster.DelayAsync(TimeSpan.FromSeconds(0.5));
        cluster.Faults.BreakStorage(TimeSpan.Zero, "The storage is gone.");
        await cluster.DelayAsync(TimeSpan.FromSeconds(2));
        cluster.Faults.BreakStorage(TimeSpan.FromSeconds(3));
        await cluster.DelayAsync(TimeSpan.FromSeconds(2));
        cluster.Faults.RepairStorage();
        cluster.Faults.FlushStorage();
        await run.FinishAsync();
        Assert.Equal(0, continuations.Losses);
    });
}
#endif

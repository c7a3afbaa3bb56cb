using System.Collections.Concurrent;
using System.Globalization;
using Xunit.Abstractions;

namespace Granary.Tests.Chaos;

/// <summary>The main property: whatever happens to one silo at whatever moment, no caller notices more than a pause.</summary>
[Trait("Category", Chaos.Category)]
public sealed class SurvivalTests(ITestOutputHelper output)
{
    private const int Streams = 32;

    /// <summary>What happens to one silo, and when.</summary>
    private enum Harm
    {
        Crash,
        Freeze,
        CutOff,
    }

    /// <summary>32 streams of every kind; one silo is killed, frozen or cut off at a drawn moment: all answers are exact, and after a kill hardly any pauses for a second.</summary>
    [SimulatedFact]
    public async Task AnySilo_LostAtAnyMoment_EveryAnswerIsExact()
    {
        var (gateways, outside, others) = (new ConcurrentBag<TimeSpan>(), new ConcurrentBag<TimeSpan>(), new ConcurrentBag<TimeSpan>()); // Longest gaps: after a kill by caller, and after the rest.

        await SeedLanes.RunAsync(Chaos.Seeds(500), new(), (cluster, seed) =>
        {
            var random = new Random(seed);
            var harm = (Harm)random.Next(3);
            var victim = random.Next(cluster.Silos.Count);
            var at = TimeSpan.FromMilliseconds(random.Next(30, 800));
            var lasts = TimeSpan.FromMilliseconds(random.Next(300, 8000)); // Beyond 4.2 s the others declare it dead.
            int[] callers = [-1, .. Enumerable.Range(0, cluster.Silos.Count).Where(n => n != victim)];
            return ($"{harm} of Silo_{victim} {at} after the first caller, for {lasts}", RunAsync);

            async Task RunAsync()
            {
                var run = await LoadRun.StartAsync(cluster, random, Streams, callers);
                await cluster.DelayAsync(at);
                Begin(cluster, harm, victim);
                if (harm != Harm.Crash)
                {
                    await cluster.DelayAsync(lasts);
                    End(cluster, harm, victim);
                }

                await run.FinishAsync();
                foreach (var record in run.Records) (harm != Harm.Crash ? others : record.Caller == "outside" ? outside : gateways).Add(record.LongestGap);
            }
        });

        Report("kill, by gateways", gateways);
        Report("kill, by the client outside", outside);
        Report("freeze, cut", others);
        Assert.All(new[] { gateways, outside }, gaps => Assert.InRange(Share(gaps, 0.99), TimeSpan.Zero, TimeSpan.FromSeconds(1)));
    }

    private static void Begin(ChaosCluster cluster, Harm harm, int victim)
    {
        if (harm == Harm.Crash) cluster.Crash(victim);
        else if (harm == Harm.Freeze) cluster.Freeze(victim);
        else cluster.CutOff(victim);
    }

    private static void End(ChaosCluster cluster, Harm harm, int victim)
    {
        if (harm == Harm.Freeze) cluster.Thaw(victim);
        else cluster.Reconnect(victim);
    }

    private void Report(string what, ConcurrentBag<TimeSpan> gaps) => output.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{what}: {gaps.Count} streams; longest gap between tokens p50 {Share(gaps, 0.5).TotalMilliseconds} ms, p99 {Share(gaps, 0.99).TotalMilliseconds} ms, longest {Share(gaps, 1).TotalMilliseconds} ms"));

    private static TimeSpan Share(ConcurrentBag<TimeSpan> gaps, double share) =>
        gaps.IsEmpty ? TimeSpan.Zero : gaps.Order().ElementAt((int)Math.Ceiling(share * gaps.Count) - 1);
}

using System.Globalization;
using Granary.Routing.Policies;
using Granary.Tests.Support.Replay;

namespace Granary.Tests.Benchmarks.Replay;

/// <summary>Ours against the best of the others on each measure, over traces that begin later: whatever is smaller than the spread between these is chance.</summary>
internal static class ReplayOffsets
{
    private const int RequestsLeftOut = 37; // Each trace begins so many requests after the one before, and has seeds of its own.

    public static List<Row> Run(IEnumerable<ReplayBenchmark.Setup> setups, string[] policies, int offsets)
    {
        var rows = new List<Row>();
        Console.WriteLine("| trace, replicas | load | reuse, median | over the best other: median (least to most) | ahead | first token s p90, median | over the best other: median (least to most) | ahead |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        foreach (var setup in setups)
        {
            foreach (var load in setup.Loads)
            {
                var row = Compare(setup, load, policies, offsets);
                rows.Add(row);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"| {setup.Trace.Name}, {setup.Replicas} | {load} | {Statistics.Median(row.Reuse):F4} | {Text(row.ReuseRatios)} | {row.ReuseRatios.Count(ratio => ratio > 1)} of {offsets} | {Statistics.Median(row.FirstToken):F3} | {Text(row.FirstTokenRatios)} | {row.FirstTokenRatios.Count(ratio => ratio < 1)} of {offsets} |"));
            }
        }

        return rows;
    }

    private static Row Compare(ReplayBenchmark.Setup setup, double load, string[] policies, int offsets)
    {
        var row = new Row(setup.Title, load, [], [], [], []);
        for (var offset = 0; offset < offsets; offset++)
        {
            var trace = setup.Trace.Without(offset * RequestsLeftOut).AtLoad(load);
            var settings = setup.Settings with { Seed = offset + 1 };
            var ours = ReplaySimulator.Run(trace, settings);
            var others = policies.Where(policy => policy != RoutingPolicies.Default).Select(policy => ReplaySimulator.Run(trace, settings with { Policy = policy })).ToList();
            row.Reuse.Add(ours.Reuse);
            row.ReuseRatios.Add(ours.Reuse / others.Max(other => other.Reuse));
            row.FirstToken.Add(ours.FirstToken.P90);
            row.FirstTokenRatios.Add(ours.FirstToken.P90 / others.Min(other => other.FirstToken.P90));
        }

        return row;
    }

    private static string Text(List<double> ratios) =>
        string.Create(CultureInfo.InvariantCulture, $"{Statistics.Median(ratios):F3} ({ratios.Min():F3} to {ratios.Max():F3})");

    internal sealed record Row(string Setup, double Load, List<double> Reuse, List<double> ReuseRatios, List<double> FirstToken, List<double> FirstTokenRatios);
}

namespace Granary.Tests.Support.Replay;

/// <summary>What came of a replay.</summary>
/// <param name="Reuse">Share of the prompts' blocks that were found in a cache when their request first ran.</param>
/// <param name="FirstToken">Seconds from arrival to the first token.</param>
/// <param name="BetweenTokens">Seconds between tokens of a request.</param>
/// <param name="Goodput">Share of requests whose first token and whose mean time between tokens keep the goal.</param>
/// <param name="Imbalance">The busiest replica's time in steps over the mean.</param>
/// <param name="Utilization">Mean share of the time that replicas computed.</param>
/// <param name="NeverStored">Blocks that routers believed in a cache whose life never had them.</param>
/// <param name="Digest">Equal for runs that are equal.</param>
public sealed record ReplayResult(
    string Trace, string Policy, double Reuse, Spread FirstToken, Spread BetweenTokens, double Goodput, double Imbalance, double Utilization,
    long NeverStored, string Digest)
{
    private const double GoalFirstToken = 2;
    private const double GoalBetweenTokens = 0.05;

    private IReadOnlyList<(double At, int Blocks, int Found)> Requests { get; init; } = [];

    /// <summary>Share of blocks found, of the requests that arrived in a span of time.</summary>
    public double ReuseBetween(double from, double to)
    {
        var (blocks, found) = (0L, 0L);
        foreach (var request in Requests)
        {
            if (request.At >= from && request.At < to) (blocks, found) = (blocks + request.Blocks, found + request.Found);
        }

        return blocks == 0 ? 0 : (double)found / blocks;
    }

    internal static ReplayResult Of(
        Trace trace, ReplaySettings settings, List<ReplayStream> streams, List<RoutedBlocks> routed, double[] busySeconds, string digest)
    {
        var first = new List<double>(streams.Count);
        var gaps = new List<double>();
        var (good, found, end) = (0, 0L, 0.0);
        var requests = new List<(double, int, int)>(streams.Count);
        foreach (var stream in streams)
        {
            var wait = stream.FirstTokenAt + settings.HopSeconds - stream.Request.Arrival;
            first.Add(wait);
            gaps.AddRange(stream.Gaps);
            var mean = stream.Gaps.Count == 0 ? 0 : stream.Gaps.Average();
            if (wait <= GoalFirstToken && mean <= GoalBetweenTokens) good++;
            requests.Add((stream.Request.Arrival, stream.Request.Blocks.Length, stream.CachedTokens / trace.BlockTokens));
            found += stream.CachedTokens / trace.BlockTokens;
            end = Math.Max(end, stream.LastTokenAt);
        }

        return new(
            trace.Name, settings.Policy, (double)found / trace.PromptBlocks, Spread.Of(first), Spread.Of(gaps), (double)good / streams.Count,
            busySeconds.Max() / busySeconds.Average(), busySeconds.Average() / end, routed.Sum(each => (long)each.NeverStored), digest) { Requests = requests };
    }
}

/// <summary>Seconds at percentiles.</summary>
public readonly record struct Spread(double P50, double P90, double P99, double Mean)
{
    internal static Spread Of(List<double> values)
    {
        if (values.Count == 0) return default;
        values.Sort();
        return new(At(0.5), At(0.9), At(0.99), values.Average());
        double At(double fraction) => values[(int)(fraction * (values.Count - 1))];
    }
}

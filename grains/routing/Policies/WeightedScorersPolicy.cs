using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>The scorers of the llm-d router with its usual weights: twice the precise prefix, the queue, and the free KV cache, each between 0 and 1.</summary>
/// <remarks>
/// <code>
/// score = 2 (device + 0.8 host) / blocks + (longest queue - queue) / (longest - shortest) + (1 - KV usage)
/// </code>
/// <c>pkg/epp/framework/plugins/scheduling/scorer</c>, <c>pkg/kvcache/kvblock_scorer.go</c>. It sees loads as reported, and not what it has sent since. The highest score wins, ties are random.
/// </remarks>
public sealed class WeightedScorersPolicy(Random random) : IRoutingPolicy
{
    private const double PrefixWeight = 2;
    private const double HostWeight = 0.8;

    public string Name => "llm-d";

    public int Pick(RoutingView view, RouteRequest request)
    {
        var (least, most) = (int.MaxValue, 0);
        foreach (var index in view.Candidates)
        {
            var waiting = view.Replicas[index].Load?.WaitingSequences ?? 0;
            (least, most) = (Math.Min(least, waiting), Math.Max(most, waiting));
        }

        var scores = new double[view.Candidates.Length];
        for (var i = 0; i < scores.Length; i++) scores[i] = -Score(view.Replicas[view.Candidates[i]], request, least, most);
        return view.Candidates[Picks.Lowest(scores, random)];
    }

    internal static double Score(in ReplicaView replica, RouteRequest request, int leastWaiting, int mostWaiting)
    {
        var prefix = request.Blocks.Length == 0 ? 0 : (replica.Overlap.Device + HostWeight * replica.Overlap.Host) / request.Blocks.Length;
        var queue = mostWaiting == leastWaiting ? 1 : (double)(mostWaiting - (replica.Load?.WaitingSequences ?? 0)) / (mostWaiting - leastWaiting);
        var usage = replica.Load is { KvBlocksTotal: > 0 } load ? (double)load.KvBlocksUsed / load.KvBlocksTotal : 0;
        return PrefixWeight * prefix + queue + (1 - usage);
    }
}

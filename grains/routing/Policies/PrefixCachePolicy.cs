using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>AIBrix's prefix-cache algorithm with the values of its code: the best match among replicas that do not run far more than the others.</summary>
/// <remarks>
/// <code>
/// max - min > 8                                           -> least requests
/// by match descending, then requests ascending: the first with requests &lt;= mean + 1 deviation
/// no match                                                -> least requests
/// </code>
/// <c>pkg/plugins/gateway/algorithms/prefix_cache.go</c>. It remembers 200,000 blocks of what was sent, here of 16 tokens each; replicas tell it nothing.
/// </remarks>
public sealed class PrefixCachePolicy(Random random) : IRoutingPolicy
{
    private const int Imbalance = 8;
    private const double Deviations = 1;
    private const long TableTokens = 200_000 * 16;

    private readonly ApproximateCaches _table = new(TableTokens);

    public string Name => "aibrix";

    public int Pick(RoutingView view, RouteRequest request)
    {
        double sum = 0, squares = 0;
        var (least, most) = (int.MaxValue, 0);
        foreach (var index in view.Candidates)
        {
            var requests = view.Replicas[index].BookedRequests;
            (sum, squares) = (sum + requests, squares + (double)requests * requests);
            (least, most) = (Math.Min(least, requests), Math.Max(most, requests));
        }

        if (most - least > Imbalance) return Picks.LeastRequests(view, random);
        var mean = sum / view.Candidates.Length;
        var bound = mean + Deviations * Math.Sqrt(Math.Max(0, squares / view.Candidates.Length - mean * mean));
        var (best, bestBlocks, bestRequests) = (-1, 0, 0);
        foreach (var index in view.Candidates)
        {
            ref readonly var replica = ref view.Replicas[index];
            if (replica.BookedRequests > bound) continue;
            var blocks = _table.Match(replica.Replica.Replica, request.Blocks).Blocks;
            if (blocks > bestBlocks || (blocks > 0 && blocks == bestBlocks && replica.BookedRequests < bestRequests))
                (best, bestBlocks, bestRequests) = (index, blocks, replica.BookedRequests);
        }

        return best >= 0 ? best : Picks.LeastRequests(view, random);
    }

    public void Booked(Booking booking) => _table.Sent(booking);

    public void Removed(ReplicaLife replica) => _table.Remove(replica);
}

using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>The cache-aware policy of SGLang's gateway (SMG), with the values of its command line: the longest known prefix unless loads are far apart.</summary>
/// <remarks>
/// <code>
/// imbalanced = max - min > 64 and max > 1.5 min   -> least requests
/// matched / prompt > 0.3                          -> who was sent the longest prefix, of several the last
/// else                                            -> least requests
/// </code>
/// <c>sgl-model-gateway/src/policies/cache_aware.rs</c>; load is requests in flight. Its tree of 64 Mi characters is taken as 16 Mi tokens.
/// </remarks>
public sealed class CacheAwarePolicy(Random random) : IRoutingPolicy
{
    private const double CacheThreshold = 0.3;
    private const int BalanceAbsolute = 64;
    private const double BalanceRelative = 1.5;
    private const long TreeTokens = 67_108_864 / 4;

    private readonly ApproximateCaches _tree = new(TreeTokens);

    public string Name => "smg";

    public int Pick(RoutingView view, RouteRequest request)
    {
        var (least, most) = (int.MaxValue, 0);
        var (best, matched) = (-1, (Blocks: 0, At: -1L));
        foreach (var index in view.Candidates)
        {
            ref readonly var replica = ref view.Replicas[index];
            (least, most) = (Math.Min(least, replica.BookedRequests), Math.Max(most, replica.BookedRequests));
            var match = _tree.Match(replica.Replica.Replica, request.Blocks);
            if (match.Blocks > matched.Blocks || (match.Blocks == matched.Blocks && match.At > matched.At)) (best, matched) = (index, match);
        }

        var isImbalanced = most - least > BalanceAbsolute && most > BalanceRelative * least;
        var rate = (double)matched.Blocks * request.BlockTokens / request.PromptTokens;
        return !isImbalanced && rate > CacheThreshold ? best : Picks.LeastRequests(view, random);
    }

    public void Booked(Booking booking) => _tree.Sent(booking);

    public void Removed(ReplicaLife replica) => _tree.Remove(replica);
}

using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>Of two replicas drawn at random, picks the one with fewer requests in flight (Mitzenmacher, 2001).</summary>
public sealed class PowerOfTwoPolicy(Random random) : IRoutingPolicy
{
    public string Name => "power-of-two";

    public int Pick(RoutingView view, RouteRequest request)
    {
        var count = view.Candidates.Length;
        var one = random.Next(count);
        if (count == 1) return view.Candidates[one];
        var other = (one + 1 + random.Next(count - 1)) % count;
        var fewer = view.Replicas[view.Candidates[other]].BookedRequests < view.Replicas[view.Candidates[one]].BookedRequests ? other : one;
        return view.Candidates[fewer];
    }
}

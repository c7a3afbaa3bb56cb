using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>Picks the replica with the fewest requests in flight, whatever is cached where; ties are random.</summary>
public sealed class LeastLoadedPolicy(Random random) : IRoutingPolicy
{
    public string Name => "least-loaded";

    public int Pick(RoutingView view, RouteRequest request) => Picks.LeastRequests(view, random);
}

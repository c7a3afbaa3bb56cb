using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>Picks one after the other.</summary>
public sealed class RoundRobinPolicy : IRoutingPolicy
{
    private uint _turn;

    public string Name => "round-robin";

    public int Pick(RoutingView view, RouteRequest request) => view.Candidates[(int)(_turn++ % (uint)view.Candidates.Length)];
}

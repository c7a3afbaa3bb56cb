using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>Picks the replica that will answer soonest, by a cost in seconds (<see cref="RouteCost"/>) from each replica's own measured speed.</summary>
/// <remarks>
/// The same views and request give the same answer, in whatever order the views stand. Costs that tie are decided by rendezvous hashing of the prefix (Thaler and
/// Ravishankar, 1998): a prefix stays with its replica as others come and go, and many prefixes spread evenly.
/// </remarks>
public sealed class SecondsPolicy(RoutingSettings settings) : IRoutingPolicy
{
    public string Name => "seconds";

    public int Pick(RoutingView view, RouteRequest request)
    {
        var lowest = double.PositiveInfinity;
        foreach (var index in view.Candidates) lowest = Math.Min(lowest, Cost(view, index, request));

        var (best, bestWeight) = (-1, 0UL);
        foreach (var index in view.Candidates)
        {
            if (Cost(view, index, request) > lowest + settings.TieSeconds) continue;
            var weight = RendezvousHash.Weight(request.PrefixHash, view.Replicas[index].Replica.Replica.ReplicaId);
            if (best < 0 || weight > bestWeight) (best, bestWeight) = (index, weight);
        }

        return best;
    }

    private double Cost(RoutingView view, int index, RouteRequest request) =>
        RouteCost.Of(view.Replicas[index], request, view.Speeds, settings).Total;
}

using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>Picks the replica whose answer costs the least seconds, the request's own and what it takes from others (<see cref="RouteCost"/>).</summary>
/// <remarks>
/// The same views and request give the same answer, in whatever order the views stand. Costs that tie are decided by rendezvous hashing of the prefix's first block that is nowhere
/// cached, or of its head where most of it is (Thaler and Ravishankar, 1998): a prefix stays with its replica as others come and go, routers that do not hear of each other agree, and many prefixes spread evenly. A prefix that many want is computed a second time where
/// that is cheaper than the wait for the first.
/// </remarks>
public sealed class SecondsPolicy(RoutingSettings settings) : IRoutingPolicy
{
    private double[] _costs = [];

    public string Name => RoutingPolicies.Default;

    public int Pick(RoutingView view, RouteRequest request)
    {
        if (_costs.Length < view.Candidates.Length) _costs = new double[view.Candidates.Length];
        var lowest = double.PositiveInfinity;
        for (var i = 0; i < view.Candidates.Length; i++)
        {
            _costs[i] = RouteCost.Of(view.Replicas[view.Candidates[i]], request, view.Speeds, settings).Total;
            lowest = Math.Min(lowest, _costs[i]);
        }

        var bound = lowest + Math.Max(settings.TieSeconds, settings.TieShare * view.Speeds.Prefill(0, request.PromptTokens));
        var prefix = Deciding(view, request);
        var (best, bestWeight) = (-1, 0UL);
        for (var i = 0; i < view.Candidates.Length; i++)
        {
            if (_costs[i] > bound) continue;
            var weight = RendezvousHash.Weight(prefix, view.Replicas[view.Candidates[i]].Replica.Replica.ReplicaId);
            if (best < 0 || weight > bestWeight) (best, bestWeight) = (view.Candidates[i], weight);
        }

        return best;
    }

    /// <summary>What costs that tie are decided by: the first block that nobody has. A head that everybody shares would send all of them to one place.</summary>
    /// <remarks>Of a prompt that is cached for the most part it is the head: of several copies the same one is used while it may be, and the others are given up.</remarks>
    private static ulong Deciding(RoutingView view, RouteRequest request)
    {
        var known = 0;
        foreach (var candidate in view.Candidates) known = Math.Max(known, view.Replicas[candidate].Overlap.Blocks);
        return known < request.Blocks.Length && 2 * known <= request.Blocks.Length ? request.Blocks[known] : request.PrefixHash;
    }
}

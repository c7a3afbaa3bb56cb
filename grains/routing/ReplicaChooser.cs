using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>Decides where a request goes: leaves out the replicas that cannot take it, and lets the policy pick one of the others.</summary>
/// <remarks>Replicas with room for the prompt in their KV cache go before those without: there, somebody would be preempted.</remarks>
public sealed class ReplicaChooser(IRoutingPolicy policy, RoutingSettings settings)
{
    private int[] _candidates = [];

    /// <param name="home">Where others of the request's group are: it goes there too if it may, whatever the policy says.</param>
    public RouteDecision Choose(ReadOnlySpan<ReplicaView> replicas, RouteRequest request, ReplicaLife? home = null)
    {
        if (_candidates.Length < replicas.Length) _candidates = new int[replicas.Length];
        var obstacle = RouteObstacle.NoReplica;
        var (count, roomy, chosen) = (0, false, -1);
        for (var index = 0; index < replicas.Length; index++)
        {
            ref readonly var replica = ref replicas[index];
            var standing = ObstacleOf(replica, request);
            if (standing != RouteObstacle.None)
            {
                obstacle = Nearer(obstacle, standing);
                continue;
            }

            if (home == replica.Replica.Replica) chosen = index;
            var room = HasRoom(replica, request);
            if (room && !roomy) (count, roomy) = (0, true); // Those without room seen so far are out.
            if (room == roomy) _candidates[count++] = index;
        }

        if (count == 0) return new(-1, default, obstacle);
        var view = new RoutingView(replicas, _candidates.AsSpan(0, count), MeanSpeeds.Of(replicas, settings));
        if (chosen < 0) chosen = policy.Pick(view, request);
        return new(chosen, RouteCost.Of(replicas[chosen], request, view.Speeds, settings), RouteObstacle.None, replicas[chosen].Overlap);
    }

    /// <summary>Most tokens of a prompt there; where a token is to follow, a position must remain for it.</summary>
    public static long LongestPrompt(ReplicaDescriptor replica, RouteRequest request) =>
        Math.Min(replica.ContextLength, replica.KvCapacityTokens) - (request.MaxTokens > 0 ? 1 : 0);

    private static RouteObstacle ObstacleOf(in ReplicaView replica, RouteRequest request)
    {
        if (request.PromptTokens > LongestPrompt(replica.Replica, request)) return RouteObstacle.TooLong;
        if (!replica.IsReachable) return RouteObstacle.Unreachable;
        if (replica.Load is { IsDraining: true }) return RouteObstacle.Draining;
        return Array.IndexOf(request.Excluded, replica.Replica.Replica) >= 0 ? RouteObstacle.Excluded : RouteObstacle.None;
    }

    /// <summary>Of two reasons the one that passes sooner: it says what the caller can do.</summary>
    private static RouteObstacle Nearer(RouteObstacle one, RouteObstacle other) => Rank(one) <= Rank(other) ? one : other;

    private static int Rank(RouteObstacle obstacle) => obstacle switch
    {
        RouteObstacle.Excluded => 0,
        RouteObstacle.Unreachable => 1,
        RouteObstacle.Draining => 2,
        RouteObstacle.TooLong => 3,
        _ => 4,
    };

    private static bool HasRoom(in ReplicaView replica, RouteRequest request)
    {
        if (replica.Load is not { KvBlocksTotal: > 0 } load) return true;
        var blockTokens = replica.Replica.KvCapacityTokens / load.KvBlocksTotal;
        var free = (load.KvBlocksTotal - load.KvBlocksUsed) * blockTokens;
        return free - replica.Unseen.PromptTokens > request.PromptTokens;
    }
}

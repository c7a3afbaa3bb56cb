using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>Picks the replica that will answer a request soonest, from what is believed of all of them.</summary>
/// <remarks>
/// Pure: the same views and request give the same answer, in whatever order the views stand. The cost is in seconds:
/// <code>
/// wait     = (pending prefill + unseen booked prompt tokens + the request's own) x seconds per prefill token
/// pressure = (running + waiting sequences + unseen bookings) x seconds per decode step
/// </code>
/// A replica without measurements is taken to be as fast as the mean of those that have them. Replicas with room for the prompt in
/// their KV cache go before those without. Costs that tie are decided by rendezvous hashing of the prefix (Thaler and
/// Ravishankar, 1998): a prefix stays with its replica as others come and go, and many prefixes spread evenly.
/// </remarks>
internal sealed class ReplicaChooser(RouterOptions options)
{
    /// <param name="home">Where others of the request's group are: it goes there too if it may, whatever the cost.</param>
    public RouteDecision Choose(IReadOnlyList<ReplicaView> replicas, RouteRequest request, ReplicaLife? home = null)
    {
        var obstacle = RouteObstacle.NoReplica;
        var roomy = false;
        var lowest = double.PositiveInfinity;
        var costs = new double[replicas.Count];
        var speeds = MeanSpeeds(replicas);
        var chosen = -1;
        for (var index = 0; index < costs.Length; index++)
        {
            var replica = replicas[index];
            costs[index] = double.NaN;
            var standing = ObstacleOf(replica, request);
            if (standing != RouteObstacle.None)
            {
                obstacle = Nearer(obstacle, standing);
                continue;
            }

            if (home == replica.Replica.Replica) chosen = index;
            var room = HasRoom(replica, request);
            if (room && !roomy)
            {
                roomy = true; // Those without room seen so far are out.
                costs.AsSpan(0, index).Fill(double.NaN);
                lowest = double.PositiveInfinity;
            }

            if (room != roomy) continue;
            costs[index] = Wait(replica, request, speeds) + Pressure(replica, speeds);
            lowest = Math.Min(lowest, costs[index]);
        }

        if (double.IsPositiveInfinity(lowest)) return new(-1, 0, obstacle);
        if (chosen < 0) chosen = BreakTie(replicas, costs, lowest + options.TieSeconds, request.PrefixHash);
        return new(chosen, Wait(replicas[chosen], request, speeds), RouteObstacle.None);
    }

    /// <summary>Most tokens of a prompt there; where a token is to follow, a position must remain for it.</summary>
    public static long LongestPrompt(ReplicaDescriptor replica, RouteRequest request) =>
        Math.Min(replica.ContextLength, replica.KvCapacityTokens) - (request.MaxTokens > 0 ? 1 : 0);

    private static RouteObstacle ObstacleOf(in ReplicaView replica, RouteRequest request)
    {
        if (request.PromptTokens > LongestPrompt(replica.Replica, request)) return RouteObstacle.TooLong;
        if (!replica.Reachable) return RouteObstacle.Unreachable;
        return Array.IndexOf(request.Excluded, replica.Replica.Replica) >= 0 ? RouteObstacle.Excluded : RouteObstacle.None;
    }

    /// <summary>Of two reasons the one that passes sooner: it says what the caller can do.</summary>
    private static RouteObstacle Nearer(RouteObstacle one, RouteObstacle other) => Rank(one) <= Rank(other) ? one : other;

    private static int Rank(RouteObstacle obstacle) => obstacle switch
    {
        RouteObstacle.Excluded => 0,
        RouteObstacle.Unreachable => 1,
        RouteObstacle.TooLong => 2,
        _ => 3,
    };

    private static bool HasRoom(in ReplicaView replica, RouteRequest request)
    {
        if (replica.Load is not { KvBlocksTotal: > 0 } load) return true;
        var blockTokens = replica.Replica.KvCapacityTokens / load.KvBlocksTotal;
        var free = (long)(load.KvBlocksTotal - load.KvBlocksUsed) * blockTokens;
        return free - replica.UnseenPromptTokens > request.PromptTokens;
    }

    private static double Wait(in ReplicaView replica, RouteRequest request, Speeds speeds)
    {
        var tokens = (replica.Load?.PendingPrefillTokens ?? 0) + replica.UnseenPromptTokens + request.PromptTokens;
        return tokens * Measured(replica.Load?.SecondsPerPrefillToken, speeds.PrefillToken);
    }

    private static double Pressure(in ReplicaView replica, Speeds speeds)
    {
        var sequences = (replica.Load?.RunningSequences ?? 0) + (replica.Load?.WaitingSequences ?? 0) + replica.UnseenRequests;
        return sequences * Measured(replica.Load?.SecondsPerDecodeStep, speeds.DecodeStep);
    }

    private static double Measured(double? own, double mean) => own is > 0 ? own.Value : mean;

    private Speeds MeanSpeeds(IReadOnlyList<ReplicaView> replicas)
    {
        double prefill = 0, decode = 0;
        int prefills = 0, decodes = 0;
        foreach (var replica in replicas)
        {
            if (replica.Load is not { } load) continue;
            if (load.SecondsPerPrefillToken > 0) (prefill, prefills) = (prefill + load.SecondsPerPrefillToken, prefills + 1);
            if (load.SecondsPerDecodeStep > 0) (decode, decodes) = (decode + load.SecondsPerDecodeStep, decodes + 1);
        }

        return new(
            prefills > 0 ? prefill / prefills : options.AssumedSecondsPerPrefillToken,
            decodes > 0 ? decode / decodes : options.AssumedSecondsPerDecodeStep);
    }

    private static int BreakTie(IReadOnlyList<ReplicaView> replicas, double[] costs, double bound, ulong prefix)
    {
        var best = -1;
        ulong bestWeight = 0;
        for (var index = 0; index < costs.Length; index++)
        {
            if (!(costs[index] <= bound)) continue; // NaN: out.
            var weight = RendezvousHash.Weight(prefix, replicas[index].Replica.Replica.ReplicaId);
            if (best < 0 || weight > bestWeight) (best, bestWeight) = (index, weight);
        }

        return best;
    }

    private readonly record struct Speeds(double PrefillToken, double DecodeStep);
}

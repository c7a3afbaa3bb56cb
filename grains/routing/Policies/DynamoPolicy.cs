using System.Runtime.InteropServices;
using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>The cost of NVIDIA Dynamo's KV router, in blocks, with its defaults: uncached prefill plus the blocks that would be active.</summary>
/// <remarks>
/// <code>
/// cost = scale x max(0, active prefill + prompt - overlap) + active decode blocks with this request
/// overlap = credit' x device + 0.75 host + 0.25 disk,  credit' = credit / (1 + decay x (active prefill tokens - least of all) / block / request blocks)
/// </code>
/// Lib <c>kv-router</c>, <c>scheduling/selector/default.rs</c>. Active blocks are those of the requests that were sent and not given back, shared ones once. Ties are random.
/// </remarks>
public sealed class DynamoPolicy(DynamoSettings settings, Random random) : IRoutingPolicy
{
    private const double HostWeight = 0.75;
    private const double DiskWeight = 0.25;

    private readonly Dictionary<ReplicaLife, Dictionary<ulong, int>> _active = [];

    public string Name => settings.Name;

    public int Pick(RoutingView view, RouteRequest request)
    {
        var least = double.PositiveInfinity;
        foreach (var index in view.Candidates) least = Math.Min(least, ActivePrefillTokens(view.Replicas[index]));
        var costs = new double[view.Candidates.Length];
        for (var i = 0; i < costs.Length; i++) costs[i] = Cost(view.Replicas[view.Candidates[i]], request, least);
        if (settings.Temperature == 0) return view.Candidates[Picks.Lowest(costs, random)];
        return view.Candidates[Draw(costs)];
    }

    public void Booked(Booking booking)
    {
        if (!_active.TryGetValue(booking.Replica, out var blocks)) _active.Add(booking.Replica, blocks = []);
        foreach (var block in booking.Request.Blocks) CollectionsMarshal.GetValueRefOrAddDefault(blocks, block, out _)++;
    }

    public void Released(Booking booking)
    {
        if (!_active.TryGetValue(booking.Replica, out var blocks)) return;
        foreach (var block in booking.Request.Blocks)
        {
            ref var uses = ref CollectionsMarshal.GetValueRefOrNullRef(blocks, block);
            if (--uses == 0) blocks.Remove(block);
        }
    }

    public void Removed(ReplicaLife replica) => _active.Remove(replica);

    /// <param name="least">The least active prefill tokens of all candidates.</param>
    internal double Cost(in ReplicaView replica, RouteRequest request, double least)
    {
        var block = (double)replica.Replica.BlockTokens;
        var prompt = Math.Ceiling(request.PromptTokens / block);
        var active = ActivePrefillTokens(replica);
        var credit = settings.OverlapCredit / (1 + settings.CreditDecay * (active - least) / block / prompt);
        var overlap = credit * replica.Overlap.Device + HostWeight * replica.Overlap.Host + DiskWeight * replica.Overlap.Disk;
        var prefill = Math.Max(0, active / block + prompt - overlap);
        return settings.PrefillLoadScale * prefill + DecodeBlocks(replica.Replica.Replica, request, prompt) + settings.ActiveRequestWeight * replica.BookedRequests;
    }

    private static double ActivePrefillTokens(in ReplicaView replica) => (replica.Load?.PendingPrefillTokens ?? 0) + replica.Unseen.PrefillTokens;

    private double DecodeBlocks(ReplicaLife replica, RouteRequest request, double prompt)
    {
        if (!_active.TryGetValue(replica, out var active)) return prompt;
        var (from, to) = (0, request.Blocks.Length); // Blocks that are active come first: each request's names cover all before.
        while (from < to)
        {
            var middle = (from + to) / 2;
            if (active.ContainsKey(request.Blocks[middle])) from = middle + 1;
            else to = middle;
        }

        return active.Count + prompt - from;
    }

    /// <summary>Softmax over costs brought to [0, 1], lower being likelier.</summary>
    private int Draw(double[] costs)
    {
        var (low, high) = (costs.Min(), costs.Max());
        var weights = costs.Select(cost => Math.Exp(-(high > low ? (cost - low) / (high - low) : 0) / settings.Temperature)).ToArray();
        var left = random.NextDouble() * weights.Sum();
        for (var i = 0; i < weights.Length; i++)
        {
            left -= weights[i];
            if (left < 0) return i;
        }

        return weights.Length - 1;
    }
}

/// <summary>What Dynamo's router can be told (<c>--router-*</c>), with its defaults.</summary>
public sealed record DynamoSettings
{
    public static DynamoSettings Default { get; } = new();

    /// <summary>What its own sweep found best.</summary>
    public static DynamoSettings Tuned { get; } = new() { Name = "dynamo-tuned", PrefillLoadScale = 16 };

    public string Name { get; init; } = "dynamo";

    public double OverlapCredit { get; init; } = 1;

    public double CreditDecay { get; init; }

    public double PrefillLoadScale { get; init; } = 1;

    public double ActiveRequestWeight { get; init; }

    public double Temperature { get; init; }
}

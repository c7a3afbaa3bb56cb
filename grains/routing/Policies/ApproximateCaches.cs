using Granary.GrainInterfaces.Routing;

namespace Granary.Routing.Policies;

/// <summary>What caches may hold, guessed from what was sent to them: the blocks last used, as many as fit.</summary>
/// <remarks>For policies of others that do not hear from replicas. Names cover all tokens before their block, so a table of names is a tree of prefixes.</remarks>
/// <param name="capacityTokens">Most tokens remembered of each replica.</param>
internal sealed class ApproximateCaches(long capacityTokens)
{
    private readonly Dictionary<ReplicaLife, Lru> _replicas = [];
    private long _now;

    /// <summary>How many leading blocks of a prompt a replica has been sent, and when the last of them was.</summary>
    public (int Blocks, long At) Match(ReplicaLife replica, ReadOnlySpan<ulong> blocks)
    {
        var matched = (Blocks: 0, At: -1L);
        if (!_replicas.TryGetValue(replica, out var cache)) return matched;
        foreach (var block in blocks)
        {
            if (!cache.Places.TryGetValue(block, out var place)) break;
            matched = (matched.Blocks + 1, place.Value.At);
        }

        return matched;
    }

    public void Sent(Booking booking)
    {
        if (!_replicas.TryGetValue(booking.Replica, out var cache)) _replicas.Add(booking.Replica, cache = new());
        var capacity = Math.Max(1, capacityTokens / booking.Request.BlockTokens);
        _now++;
        for (var i = booking.Request.Blocks.Length - 1; i >= 0; i--) // The last block is used least recently: prefixes shrink from their ends.
        {
            var block = booking.Request.Blocks[i];
            if (cache.Places.Remove(block, out var place)) cache.ByUse.Remove(place);
            cache.Places.Add(block, cache.ByUse.AddLast((block, _now)));
        }

        while (cache.Places.Count > capacity)
        {
            cache.Places.Remove(cache.ByUse.First!.Value.Block);
            cache.ByUse.RemoveFirst();
        }
    }

    public void Remove(ReplicaLife replica) => _replicas.Remove(replica);

    private sealed class Lru
    {
        public Dictionary<ulong, LinkedListNode<(ulong Block, long At)>> Places { get; } = [];

        public LinkedList<(ulong Block, long At)> ByUse { get; } = new();
    }
}

namespace Granary.Engine.Kv;

/// <summary>Cached prefixes that are kept for somebody who will come back, until a lease ends.</summary>
/// <remarks>
/// A pin is a wish, not a right: pinned blocks that no sequence uses count as free, and all are given up before a sequence would be preempted or
/// kept waiting for blocks. Who renewed longest ago goes first, there and where pins outgrow their budget.
/// </remarks>
/// <param name="budget">Most blocks that pins hold.</param>
internal sealed class KvPins(KvCache cache, int budget)
{
    /// <summary>Most owners at a time; one more takes the place of who renewed longest ago.</summary>
    private const int MaxOwners = 65_536;

    private readonly Dictionary<string, LinkedListNode<Pin>> _pins = [];
    private readonly LinkedList<Pin> _byRenewal = new(); // Longest ago first.

    public int Count => _pins.Count;

    /// <summary>No lease ends before; <see cref="DateTimeOffset.MaxValue"/> without pins.</summary>
    public DateTimeOffset NextEnd { get; private set; } = DateTimeOffset.MaxValue;

    /// <summary>Pins what is cached of a prefix, in place of what its owner had pinned.</summary>
    /// <returns>Tokens that are pinned now: full blocks on the device, within the budget.</returns>
    public int Add(string owner, int[] tokens, string? salt, DateTimeOffset end)
    {
        var table = new BlockTable(salt);
        var reach = (int)Math.Min(tokens.Length, (long)budget * cache.BlockTokens);
        // A cache leaves the last token to compute; here there is none.
        cache.Pin(table, [.. tokens.AsSpan(0, reach), 0]);
        Remove(owner);
        if (table.Count == 0) return 0;

        _pins.Add(owner, _byRenewal.AddLast(new Pin(owner, table, end)));
        if (end < NextEnd) NextEnd = end;
        while (cache.PinnedCount > budget || _pins.Count > MaxOwners) GiveUpOldest();
        return table.Count * cache.BlockTokens;
    }

    public void Remove(string owner)
    {
        if (!_pins.Remove(owner, out var node)) return;
        _byRenewal.Remove(node);
        cache.Unpin(node.Value.Table);
    }

    /// <summary>Ends what nobody has renewed in time.</summary>
    public void EndLeases(DateTimeOffset now)
    {
        NextEnd = DateTimeOffset.MaxValue;
        for (var node = _byRenewal.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.End <= now) Remove(node.Value.Owner);
            else if (node.Value.End < NextEnd) NextEnd = node.Value.End;
            node = next;
        }
    }

    /// <summary>Gives up pins until so many blocks are free, or leaves all where they are if that would not do.</summary>
    public bool TryFree(int blocks)
    {
        if (blocks > cache.FreeCount + cache.PinnedOnlyCount) return false;
        while (cache.FreeCount < blocks) GiveUpOldest();
        return true;
    }

    private void GiveUpOldest() => Remove(_byRenewal.First!.Value.Owner);

    private readonly record struct Pin(string Owner, BlockTable Table, DateTimeOffset End);
}

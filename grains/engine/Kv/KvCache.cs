namespace Granary.Engine.Kv;

/// <summary>Gives sequences their KV blocks and lets equal prefixes share them.</summary>
/// <remarks>
/// Only full blocks are shared, and nobody writes into a full block, so sharing is by reference. A prefix outlives its sequences until
/// its blocks are needed; a chain is given up from its end, because a sequence returns its last block first.
/// </remarks>
internal sealed class KvCache
{
    private readonly BlockPool _pool;
    private readonly PrefixIndex? _index;
    private readonly BlockNamer _namer;
    private readonly KvEventLog? _events;

    public KvCache(int blockCount, int blockTokens, bool shared, BlockNamer? namer = null, KvEventLog? events = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockTokens, 1);
        BlockTokens = blockTokens;
        _pool = new(blockCount);
        _index = shared ? new(blockCount, blockTokens) : null;
        _namer = namer ?? BlockHash.Next;
        _events = events;
        events?.Reserve(KvBlockTier.Device, blockCount);
    }

    public int BlockTokens { get; }

    public bool IsShared => _index is not null;

    public int Capacity => _pool.Capacity;

    public int FreeCount => _pool.FreeCount;

    public int UsedCount => _pool.UsedCount;

    public int CachedCount => _index?.Count ?? 0;

    public int ReferencesOf(int block) => _pool.ReferencesOf(block);

    public int BlocksFor(int tokens) => (tokens + BlockTokens - 1) / BlockTokens;

    /// <summary>Gives an empty table the cached blocks of the longest known prefix that leaves at least the last token to compute.</summary>
    /// <returns>Tokens in those blocks.</returns>
    public int AcquirePrefix(BlockTable table, ReadOnlySpan<int> tokens)
    {
        while (FindNext(table, tokens, table.Count, table.LastNumber) is var block and >= 0)
        {
            _pool.Acquire(block);
            table.Add(block);
            table.Indexed++;
            table.LastNumber = _index!.NumberOf(block);
        }

        return table.Count * BlockTokens;
    }

    /// <summary>What <see cref="AcquirePrefix"/> would find for an empty table, without taking it.</summary>
    public int FindPrefix(BlockTable table, ReadOnlySpan<int> tokens)
    {
        var (count, last) = (0, PrefixIndex.NoParent);
        while (FindNext(table, tokens, count, last) is var block and >= 0) (count, last) = (count + 1, _index!.NumberOf(block));
        return count * BlockTokens;
    }

    /// <summary>Makes the table long enough for a number of tokens, or leaves it as it is.</summary>
    /// <returns><see langword="false"/> when too few blocks are free.</returns>
    public bool TryGrow(BlockTable table, int tokens)
    {
        var missing = BlocksFor(tokens) - table.Count;
        if (missing > _pool.FreeCount) return false;
        for (; missing > 0; missing--)
        {
            _pool.TryAllocate(out var block);
            if (_index is not null && _index.Contains(block)) GiveUp(block);
            table.Add(block);
        }

        return true;
    }

    /// <summary>Makes the blocks that the first <paramref name="computed"/> tokens fill available to other sequences.</summary>
    /// <remarks>Where another block holds the same prefix already, the table takes that one and returns its own.</remarks>
    public void Share(BlockTable table, ReadOnlySpan<int> tokens, int computed)
    {
        if (_index is null) return;
        for (; (table.Indexed + 1) * BlockTokens <= computed && table.LastNumber >= 0; table.Indexed++)
        {
            var i = table.Indexed;
            var own = table.Blocks[i];
            var content = tokens.Slice(i * BlockTokens, BlockTokens);
            var name = table.NameOf(i, tokens, BlockTokens, _namer);
            if (_index.TryAdd(own, name, content, table.LastNumber, table.Salt))
            {
                table.LastNumber = _index.NumberOf(own);
                _events?.Stored(KvBlockTier.Device, own, name);
                continue;
            }

            var held = _index.Find(name, content, table.LastNumber, table.Salt);
            if (held < 0)
            {
                table.LastNumber = -1; // The name belongs to another prefix: from here on this sequence's blocks stay its own.
                continue;
            }

            _pool.Acquire(held);
            _pool.Release(own, cached: false);
            table.Replace(i, held);
            table.LastNumber = _index.NumberOf(held);
        }
    }

    /// <returns>The cached block of that place, after the block with number <paramref name="last"/>; -1 when there is none.</returns>
    private int FindNext(BlockTable table, ReadOnlySpan<int> tokens, int place, long last)
    {
        if (_index is null || (place + 1) * BlockTokens >= tokens.Length) return -1;
        var name = table.NameOf(place, tokens, BlockTokens, _namer);
        return _index.Find(name, tokens.Slice(place * BlockTokens, BlockTokens), last, table.Salt);
    }

    /// <summary>Forgets what a block holds, before it is written over.</summary>
    private void GiveUp(int block)
    {
        _index!.Remove(block);
        _events?.Removed(KvBlockTier.Device, block);
    }

    /// <summary>Returns all blocks of a table.</summary>
    public void Release(BlockTable table)
    {
        for (var i = table.Count - 1; i >= 0; i--)
        {
            var block = table.Blocks[i];
            _pool.Release(block, _index is not null && _index.Contains(block));
        }

        table.Clear();
    }
}

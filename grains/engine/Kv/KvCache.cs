using Granary.Engine.Kv.Tiers;

namespace Granary.Engine.Kv;

/// <summary>Gives sequences their KV blocks and lets equal prefixes share them.</summary>
/// <remarks>
/// Only full blocks are shared, and nobody writes into a full block, so sharing is by reference. A prefix outlives its sequences until
/// its blocks are needed; a chain is given up from its end, because a sequence returns its last block first. Given slower memory it keeps
/// copies there of what it gives up, and takes them back.
/// </remarks>
internal sealed class KvCache
{
    private readonly BlockPool _pool;
    private readonly PrefixIndex? _index;
    private readonly BlockNamer _namer;
    private readonly KvEventLog? _events;
    private HostTier? _host;
    private DiskTier? _disk;

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

    /// <inheritdoc cref="BlockPool.PinnedCount"/>
    public int PinnedCount => _pool.PinnedCount;

    /// <inheritdoc cref="BlockPool.PinnedOnlyCount"/>
    public int PinnedOnlyCount => _pool.PinnedOnlyCount;

    public int CachedCount => _index?.Count ?? 0;

    public int ReferencesOf(int block) => _pool.ReferencesOf(block);

    public int BlocksFor(int tokens) => (tokens + BlockTokens - 1) / BlockTokens;

    /// <summary>Gives an empty table the cached blocks of the longest known prefix that leaves at least the last token to compute.</summary>
    /// <returns>Tokens in those blocks.</returns>
    public int AcquirePrefix(BlockTable table, ReadOnlySpan<int> tokens)
    {
        while (TryAcquireNext(table, tokens, out var block))
        {
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
        while (Locate(table, tokens, count, last) is var number and >= 0) (count, last) = (count + 1, number);
        return count * BlockTokens;
    }

    /// <summary>Lets copies of a prefix's next blocks come from the disk to the host, so that they can be taken.</summary>
    /// <returns>Whether it is worth waiting for them. A table waits for each of its blocks once at most.</returns>
    public bool MustFetch(BlockTable table, ReadOnlySpan<int> tokens)
    {
        if (_disk is null) return false;
        var (count, last) = (0, PrefixIndex.NoParent);
        while (Locate(table, tokens, count, last) is var number and >= 0) (count, last) = (count + 1, number);
        if (count < table.Fetched)
            return IsFull(tokens, count) && _disk.IsFetching(NameOf(table, tokens, count), ContentOf(tokens, count), last, table.Salt);

        var first = count;
        while (IsFull(tokens, count)
            && _disk.TryFetch(NameOf(table, tokens, count), ContentOf(tokens, count), last, table.Salt, out var number)) (count, last) = (count + 1, number);
        table.Fetched = count;
        return count > first;
    }

    /// <summary>Lets the cache keep copies of what it gives up.</summary>
    public void KeepCopies(HostTier host, DiskTier? disk) => (_host, _disk, host.Below) = (host, disk, disk);

    /// <summary>As <see cref="AcquirePrefix"/>, to keep what is on the device.</summary>
    public void Pin(BlockTable table, ReadOnlySpan<int> tokens)
    {
        while (FindNext(table, tokens, table.Count, table.LastNumber) is var block and >= 0)
        {
            _pool.Pin(block);
            table.Add(block);
            table.LastNumber = _index!.NumberOf(block);
        }
    }

    /// <summary>Lets go of what was pinned for a table, last block first.</summary>
    public void Unpin(BlockTable table)
    {
        for (var i = table.Count - 1; i >= 0; i--) _pool.Unpin(table.Blocks[i]);
        table.Clear();
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
        if (_index is null || !IsFull(tokens, place)) return -1;
        return _index.Find(NameOf(table, tokens, place), ContentOf(tokens, place), last, table.Salt);
    }

    /// <returns>The number of the cached block of that place, on the device or in the host's memory; -1 when there is none.</returns>
    private long Locate(BlockTable table, ReadOnlySpan<int> tokens, int place, long last)
    {
        if (FindNext(table, tokens, place, last) is var block and >= 0) return _index!.NumberOf(block);
        return FindCopy(table, tokens, place, last) is var slot and >= 0 ? _host!.NumberOf(slot) : -1;
    }

    /// <returns>The host's slot that holds the block of that place, where the device could take it; -1 when none does.</returns>
    private int FindCopy(BlockTable table, ReadOnlySpan<int> tokens, int place, long last)
    {
        if (_host is null || !IsFull(tokens, place)) return -1;
        var name = NameOf(table, tokens, place);
        if (_index!.Find(name) >= 0) return -1; // Another prefix's, on the device.
        return _host.Find(name, ContentOf(tokens, place), last, table.Salt);
    }

    /// <summary>References the cached block that comes next; brings it back where only a copy is left.</summary>
    private bool TryAcquireNext(BlockTable table, ReadOnlySpan<int> tokens, out int block)
    {
        block = FindNext(table, tokens, table.Count, table.LastNumber);
        if (block >= 0)
        {
            _pool.Acquire(block);
            return true;
        }

        var slot = FindCopy(table, tokens, table.Count, table.LastNumber);
        if (slot < 0 || _pool.FreeCount == 0 || !_host!.TryHold(slot)) return false;
        _pool.TryAllocate(out block);
        if (_index!.Contains(block)) GiveUp(block);
        _host.Restore(slot, _index, block);
        _events?.Stored(KvBlockTier.Device, block, _index.NameOf(block));
        return true;
    }

    /// <summary>Whether the block of that place is full and not the last one's.</summary>
    private bool IsFull(ReadOnlySpan<int> tokens, int place) => (place + 1) * BlockTokens < tokens.Length;

    private UInt128 NameOf(BlockTable table, ReadOnlySpan<int> tokens, int place) => table.NameOf(place, tokens, BlockTokens, _namer);

    private ReadOnlySpan<int> ContentOf(ReadOnlySpan<int> tokens, int place) => tokens.Slice(place * BlockTokens, BlockTokens);

    /// <summary>Forgets what a block holds, before it is written over.</summary>
    private void GiveUp(int block)
    {
        _host?.Keep(_index!, block);
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

namespace Granary.Engine.Kv;

/// <summary>Who uses the KV blocks: reference counts, and the free blocks in the order in which they will be taken.</summary>
/// <remarks>
/// Free blocks form a doubly linked list through arrays, so that taking, returning and reviving one is O(1) and allocates nothing.
/// A free block may still hold a cached prefix: such blocks wait at the list's end, least recently used first, and empty ones go to its front.
/// At any time every block is either referenced or in the list.
/// </remarks>
internal sealed class BlockPool
{
    private readonly int[] _references;
    private readonly int[] _pins; // How many of the references only keep the block.
    private readonly int[] _next; // Index Capacity is the list's head and tail at once.
    private readonly int[] _previous;

    public BlockPool(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        Capacity = capacity;
        FreeCount = capacity;
        _references = new int[capacity];
        _pins = new int[capacity];
        _next = new int[capacity + 1];
        _previous = new int[capacity + 1];
        for (var i = 0; i <= capacity; i++)
        {
            _next[i] = i == capacity ? 0 : i + 1;
            _previous[i] = i == 0 ? capacity : i - 1;
        }
    }

    public int Capacity { get; }

    public int FreeCount { get; private set; }

    public int UsedCount => Capacity - FreeCount;

    /// <summary>Blocks that are pinned.</summary>
    public int PinnedCount { get; private set; }

    /// <summary>Blocks of <see cref="UsedCount"/> that nothing but pins reference.</summary>
    public int PinnedOnlyCount { get; private set; }

    public int ReferencesOf(int block) => _references[block];

    /// <summary>Takes the free block that is of least use and references it once.</summary>
    /// <returns><see langword="false"/> when none is free; the pool is then unchanged.</returns>
    public bool TryAllocate(out int block)
    {
        block = _next[Capacity];
        if (block == Capacity)
        {
            block = -1;
            return false;
        }

        Acquire(block);
        return true;
    }

    /// <summary>Adds a reference; a free block leaves the list.</summary>
    public void Acquire(int block)
    {
        if (IsPinnedOnly(block)) PinnedOnlyCount--;
        if (_references[block]++ > 0) return;
        _next[_previous[block]] = _next[block];
        _previous[_next[block]] = _previous[block];
        FreeCount--;
    }

    /// <summary>Adds a reference that only keeps the block.</summary>
    public void Pin(int block)
    {
        Acquire(block);
        if (_pins[block]++ == 0) PinnedCount++;
        if (IsPinnedOnly(block)) PinnedOnlyCount++;
    }

    /// <summary>Drops such a reference, of a block that is cached.</summary>
    public void Unpin(int block)
    {
        if (_pins[block] == 0) throw new InvalidOperationException($"KV block {block} is not pinned.");
        if (IsPinnedOnly(block)) PinnedOnlyCount--;
        if (--_pins[block] == 0) PinnedCount--;
        Release(block, cached: true);
    }

    private bool IsPinnedOnly(int block) => _pins[block] > 0 && _pins[block] == _references[block];

    /// <summary>Drops a reference. The last one frees the block: to be taken last if it is still <paramref name="cached"/>, else first.</summary>
    /// <exception cref="InvalidOperationException">The block is not referenced.</exception>
    public void Release(int block, bool cached)
    {
        if (_references[block] == 0) throw new InvalidOperationException($"KV block {block} is released more often than it was taken.");
        if (--_references[block] > 0)
        {
            if (IsPinnedOnly(block)) PinnedOnlyCount++;
            return;
        }

        var after = cached ? _previous[Capacity] : Capacity;
        var before = _next[after];
        _next[after] = block;
        _previous[block] = after;
        _next[block] = before;
        _previous[before] = block;
        FreeCount++;
    }
}

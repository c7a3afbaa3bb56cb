namespace Granary.Text.Tokenization;

/// <summary>Pairs that could be merged, lowest rank first and leftmost among equals: a binary heap of one number each.</summary>
/// <param name="entries">Room for as many candidates as are ever held at once.</param>
internal ref struct CandidateHeap(Span<ulong> entries)
{
    private readonly Span<ulong> _entries = entries;
    private int _count;

    /// <summary>How many entries changed their place so far.</summary>
    public long Moves { get; private set; }

    /// <param name="rank">Not negative.</param>
    /// <param name="position">Not negative.</param>
    public void Add(int rank, int position)
    {
        var entry = ((ulong)(uint)rank << 32) | (uint)position;
        var index = _count++;
        while (index > 0 && _entries[(index - 1) / 2] > entry)
        {
            _entries[index] = _entries[(index - 1) / 2];
            index = (index - 1) / 2;
            Moves++;
        }

        _entries[index] = entry;
        Moves++;
    }

    public bool TryTake(out int rank, out int position)
    {
        if (_count == 0)
        {
            (rank, position) = (0, 0);
            return false;
        }

        (rank, position) = ((int)(_entries[0] >> 32), (int)(uint)_entries[0]);
        var last = _entries[--_count];
        var index = 0;
        for (var child = 1; child < _count; child = (index * 2) + 1)
        {
            if (child + 1 < _count && _entries[child + 1] < _entries[child]) child++;
            if (_entries[child] >= last) break;
            _entries[index] = _entries[child];
            index = child;
            Moves++;
        }

        _entries[index] = last;
        Moves++;
        return true;
    }
}

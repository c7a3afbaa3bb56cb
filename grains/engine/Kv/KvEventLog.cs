namespace Granary.Engine.Kv;

/// <summary>Remembers the last changes of a KV cache, and all that it holds, for who watches it from other threads.</summary>
/// <remarks>
/// A ring of events, and for each tier the names of what lies in its places. Telling a change writes into arrays under a short lock; a snapshot
/// walks all places under it: about a millisecond for a hundred thousand of them.
/// </remarks>
/// <param name="capacity">Events that are remembered, a power of two.</param>
internal sealed class KvEventLog(int capacity = KvEventLog.DefaultCapacity)
{
    /// <value>65,536 events: a million tokens computed or given up, seconds of the fastest device; a watcher that is behind by more takes a snapshot.</value>
    private const int DefaultCapacity = 65_536;

    private readonly object _gate = new();
    private readonly ulong[] _names = new ulong[capacity];
    private readonly byte[] _kinds = new byte[capacity]; // Twice the tier, plus 1 for stored.
    private readonly Held[] _held = [new(), new(), new()]; // By tier.
    private long _next;

    /// <summary>Makes room for the places of a tier, so that telling allocates nothing.</summary>
    public void Reserve(KvBlockTier tier, int places)
    {
        lock (_gate) _held[(int)tier].Reserve(places);
    }

    /// <param name="place">Where the block lies in its tier; nothing does there.</param>
    public void Stored(KvBlockTier tier, int place, UInt128 name)
    {
        lock (_gate)
        {
            _held[(int)tier].Put(place, (ulong)name);
            Tell(tier, stored: true, (ulong)name);
        }
    }

    /// <param name="place">Where a block lay in its tier.</param>
    public void Removed(KvBlockTier tier, int place)
    {
        lock (_gate) Tell(tier, stored: false, _held[(int)tier].Take(place));
    }

    /// <summary>The events from a number on, as many as a batch has room for; a snapshot where <paramref name="from"/> is 0 or not remembered.</summary>
    public KvEventBatch Read(long from)
    {
        lock (_gate)
        {
            return from <= 0 || from > _next || from < _next - capacity ? Snapshot() : Events(from);
        }
    }

    private void Tell(KvBlockTier tier, bool stored, ulong name)
    {
        var entry = (int)(_next++ & (capacity - 1));
        _names[entry] = name;
        _kinds[entry] = (byte)(2 * (int)tier + (stored ? 1 : 0));
    }

    private KvEventBatch Events(long from)
    {
        var count = (int)Math.Min(_next - from, KvEventBatch.MaxBlocks);
        var names = new ulong[count];
        var runs = new List<KvEventRun>();
        for (var i = 0; i < count; i++)
        {
            var entry = (int)((from + i) & (capacity - 1));
            names[i] = _names[entry];
            var run = new KvEventRun((_kinds[entry] & 1) == 1, (KvBlockTier)(_kinds[entry] >> 1), 1);
            if (runs.Count > 0 && runs[^1] with { Count = 1 } == run) runs[^1] = run with { Count = runs[^1].Count + 1 };
            else runs.Add(run);
        }

        return new() { First = from, Next = from + count, Runs = [.. runs], Blocks = names };
    }

    private KvEventBatch Snapshot()
    {
        var names = new ulong[_held.Sum(held => held.Count)];
        var runs = new List<KvEventRun>();
        var written = 0;
        for (var tier = 0; tier < _held.Length; tier++)
        {
            if (_held[tier].Count == 0) continue;
            _held[tier].CopyTo(names.AsSpan(written));
            written += _held[tier].Count;
            runs.Add(new(true, (KvBlockTier)tier, _held[tier].Count));
        }

        return new() { First = 0, Next = _next, IsSnapshot = true, Runs = [.. runs], Blocks = names };
    }

    /// <summary>What lies in the places of a tier.</summary>
    private sealed class Held
    {
        private ulong[] _names = [];
        private bool[] _taken = [];

        public int Count { get; private set; }

        public void Reserve(int places)
        {
            if (places <= _names.Length) return;
            Array.Resize(ref _names, places);
            Array.Resize(ref _taken, places);
        }

        public void Put(int place, ulong name)
        {
            if (_taken[place]) throw new InvalidOperationException($"Place {place} is stored into twice.");
            (_names[place], _taken[place]) = (name, true);
            Count++;
        }

        public ulong Take(int place)
        {
            if (!_taken[place]) throw new InvalidOperationException($"Nothing lies in place {place} that could be removed.");
            _taken[place] = false;
            Count--;
            return _names[place];
        }

        public void CopyTo(Span<ulong> names)
        {
            var written = 0;
            for (var place = 0; place < _names.Length; place++)
            {
                if (_taken[place]) names[written++] = _names[place];
            }
        }
    }
}

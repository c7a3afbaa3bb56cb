using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing.Kv;

/// <summary>Which replica has which KV blocks, and where: what routers know of all caches.</summary>
/// <remarks>
/// A hash table over names of blocks, cut into parts that grow one at a time, so that no call waits for all of it to be copied. A block that one or two replicas have keeps
/// them in its entry (16 bytes); one that more have, in a bitmap. A name covers all tokens before its block, so a prompt's prefix is found by looking its names
/// up in order, and who lacks one is out: exact, also where a cache has lost a block in the middle.
/// A life that ends takes a slot with it: its blocks match nothing from then on, and are swept away part by part as others change. Not safe for several threads.
/// </remarks>
public sealed class KvIndex
{
    internal const int Tiers = 3;
    private const int PartBits = 10;
    private const int BlocksPerSweptPart = 64;
    private const int Ahead = 8; // Look-ups whose memory is fetched while others are compared.
    private const int MaxSlots = 1 << 20;
    private const ulong Shared = 1UL << 63; // The rest is the number of a holder set; else two holders of 31 bits, (slot + 1) << 4 | tiers.
    private const ulong LaneMask = (1UL << 31) - 1;

    private readonly BlockTable[] _parts = new BlockTable[1 << PartBits];
    private readonly ExpectedBlocks _expected = new();
    private readonly List<HolderSet?> _sets = [];
    private readonly Stack<int> _freeSets = new();
    private readonly List<int> _slotOf = []; // By a replica's number; -1 where the number is free.
    private readonly Stack<int> _freeNumbers = new();
    private readonly List<int> _numberOf = []; // By slot; -1 where its life has ended.
    private readonly List<bool> _isUsed = []; // By slot: whether blocks may name it.
    private readonly Stack<int> _freeSlots = new();
    private readonly List<int> _dead = []; // Slots that wait for the next sweep to begin.
    private readonly List<int> _sweeping = []; // Slots that will be free when this one ends.
    private ulong[] _live = []; // Slots with a number.
    private int _sweptParts;

    /// <summary>One more than the largest number in use: the length of what <see cref="Match"/> fills.</summary>
    public int NumberBound => _slotOf.Count;

    /// <summary>Blocks that are known, those of ended lives included that are not swept yet.</summary>
    public long Blocks
    {
        get
        {
            var blocks = 0L;
            foreach (ref readonly var part in _parts.AsSpan()) blocks += part.Count;
            return blocks;
        }
    }

    /// <summary>Bytes of the tables and bitmaps.</summary>
    public long Bytes
    {
        get
        {
            var bytes = 0L;
            foreach (ref readonly var part in _parts.AsSpan()) bytes += 16L * part.Size;
            foreach (var set in _sets)
            {
                for (var tier = 0; tier < Tiers && set is not null; tier++) bytes += 8 * set.Of(tier).Length;
            }

            return bytes;
        }
    }

    /// <summary>Makes a life of a replica known.</summary>
    /// <returns>Its number, the smallest that is free or was so last.</returns>
    /// <exception cref="InvalidOperationException">There are too many.</exception>
    public int Add()
    {
        var slot = TakeSlot();
        if (!_freeNumbers.TryPop(out var number))
        {
            number = _slotOf.Count;
            _slotOf.Add(-1);
        }

        Bind(number, slot);
        return number;
    }

    /// <summary>Its life has ended: none of its blocks is found any more.</summary>
    public void Remove(int replica)
    {
        End(SlotOf(replica));
        _slotOf[replica] = -1;
        _freeNumbers.Push(replica);
    }

    /// <summary>Takes what a replica tells of its cache. Only <see cref="ReplicaEvents"/> knows whether it is what comes next.</summary>
    /// <param name="skip">Events at the beginning that are known.</param>
    public void Apply(int replica, KvEvents events, int skip = 0)
    {
        var slot = SlotOf(replica);
        if (events.IsSnapshot && _isUsed[slot]) // The first of a life has nothing to take back: nothing is swept for it.
        {
            End(slot);
            slot = TakeSlot();
            Bind(replica, slot);
        }

        _isUsed[slot] |= events.Blocks.Length > 0;
        var at = 0;
        foreach (var run in events.Runs)
        {
            var begin = Math.Max(at, skip);
            at += run.Count;
            if (run is { IsStored: true, Tier: KvTier.Device } && begin < at) _expected.Remove(replica, events.Blocks.AsSpan(begin, at - begin)); // What was expected has come.
            for (var i = begin; i < at; i++)
            {
                if (run.IsStored) Store(slot, events.Blocks[i], (int)run.Tier);
                else Drop(slot, events.Blocks[i], (int)run.Tier);
            }
        }

        Sweep(1 + events.Blocks.Length / BlocksPerSweptPart);
    }

    /// <summary>A request is on its way there that will bring these blocks, which follow each other in its prompt.</summary>
    public void Expect(int replica, ReadOnlySpan<ulong> blocks) => _expected.Add(replica, blocks);

    /// <summary>They will not come, or have come.</summary>
    public void Forget(int replica, ReadOnlySpan<ulong> blocks) => _expected.Remove(replica, blocks);

    /// <summary>How many leading blocks each replica has.</summary>
    /// <param name="overlaps">By a replica's number; at least <see cref="NumberBound"/> long, all of it is written.</param>
    public void Match(ReadOnlySpan<ulong> blocks, Span<PrefixOverlap> overlaps)
    {
        overlaps.Clear();
        var words = _live.Length;
        Span<ulong> alive = words <= 256 ? stackalloc ulong[words] : new ulong[words];
        _live.CopyTo(alive);
        var matching = new PrefixMatch(alive, overlaps, _numberOf);
        var left = blocks.Length;
        for (var i = 0; i < blocks.Length && left == blocks.Length; i++)
        {
            if (i + Ahead < blocks.Length)
            {
                var soon = Spread(blocks[i + Ahead]);
                _parts[soon >> (64 - PartBits)].Prefetch((uint)(soon >> (32 - PartBits)));
            }

            var hash = Spread(blocks[i]);
            var holders = _parts[hash >> (64 - PartBits)].Find(blocks[i], (uint)(hash >> (32 - PartBits)));
            var goesOn = (holders & Shared) != 0
                ? matching.Continue(i, _sets[(int)holders]!)
                : matching.Continue(i, (uint)(holders & LaneMask), (uint)(holders >> 31 & LaneMask));
            if (!goesOn) left = i;
        }

        if (left == blocks.Length) matching.End(left);
        if (_expected.Count == 0) return;
        for (var number = 0; number < _slotOf.Count; number++)
        {
            ref var overlap = ref overlaps[number];
            overlap = overlap with { Expected = _expected.Match(number, blocks, overlap.Blocks) };
        }
    }

    internal static uint Hash(ulong name) => (uint)(Spread(name) >> (32 - PartBits));

    private static ulong Spread(ulong name) => name * 0x9E3779B97F4A7C15; // Fibonacci hashing: names are hashes already, ids of a trace are not.

    private int SlotOf(int replica) => _slotOf[replica] is >= 0 and var slot ? slot : throw new ArgumentOutOfRangeException(nameof(replica), replica, $"No replica has number {replica}.");

    private void Store(int slot, ulong name, int tier)
    {
        var hash = Spread(name);
        ref var part = ref _parts[hash >> (64 - PartBits)];
        ref var holders = ref part.Open(name, (uint)(hash >> (32 - PartBits)), out _);
        var bit = 1u << tier;
        if ((holders & Shared) != 0)
        {
            _sets[(int)holders]!.Set(slot, bit);
            return;
        }

        var shift = LaneOf(holders, slot);
        if (shift < 0) holders = Living(holders);
        if (shift < 0 && holders >> 31 == 0) shift = holders == 0 ? 0 : 31;
        if (shift >= 0)
        {
            var lane = (uint)(holders >> shift & LaneMask) | (uint)(slot + 1) << 4 | bit;
            holders = holders & ~(LaneMask << shift) | (ulong)lane << shift;
            return;
        }

        holders = Shared | (uint)Share(holders, slot, bit);
    }

    private int Share(ulong holders, int slot, uint tiers)
    {
        var set = new HolderSet();
        for (var shift = 0; shift <= 31; shift += 31)
        {
            var lane = (uint)(holders >> shift & LaneMask);
            set.Set((int)(lane >> 4) - 1, lane & 15);
        }

        set.Set(slot, tiers);
        if (!_freeSets.TryPop(out var index))
        {
            index = _sets.Count;
            _sets.Add(null);
        }

        _sets[index] = set;
        return index;
    }

    private void Drop(int slot, ulong name, int tier)
    {
        var hash = Spread(name);
        ref var part = ref _parts[hash >> (64 - PartBits)];
        var place = part.PlaceOf(name, (uint)(hash >> (32 - PartBits)));
        if (place < 0) return;
        ref var holders = ref part.HoldersAt(place);
        if ((holders & Shared) != 0)
        {
            var set = _sets[(int)holders]!;
            set.Clear(slot, tier);
            if (set.IsEmpty) CloseSet(ref part, place, (int)holders);
            return;
        }

        var shift = LaneOf(holders, slot);
        if (shift < 0) return;
        holders &= ~(1UL << tier << shift);
        if ((holders >> shift & 15) == 0) holders = Without(holders, shift);
        if (holders == 0) part.Close(place);
    }

    /// <returns>Where a slot's lane begins; -1 where it has none.</returns>
    private static int LaneOf(ulong holders, int slot) =>
        (holders & LaneMask) >> 4 == (ulong)slot + 1 ? 0 : holders >> 35 == (ulong)slot + 1 ? 31 : -1;

    /// <summary>Takes a lane out; one that is left is the first.</summary>
    private static ulong Without(ulong holders, int shift) => shift == 0 ? holders >> 31 : holders & LaneMask;

    /// <summary>Takes the lanes of ended lives out.</summary>
    private ulong Living(ulong holders)
    {
        if (holders >> 31 != 0 && _numberOf[(int)(holders >> 35) - 1] < 0) holders = Without(holders, 31);
        return holders != 0 && _numberOf[(int)((holders & LaneMask) >> 4) - 1] < 0 ? Without(holders, 0) : holders;
    }

    private void CloseSet(ref BlockTable part, int place, int set)
    {
        _sets[set] = null;
        _freeSets.Push(set);
        part.Close(place);
    }

    private int TakeSlot()
    {
        if (_freeSlots.TryPop(out var slot)) return slot;
        if (_numberOf.Count == MaxSlots) throw new InvalidOperationException($"The index holds {MaxSlots} lives; that is the most.");
        _numberOf.Add(-1);
        _isUsed.Add(false);
        if (_live.Length < (_numberOf.Count + 63) / 64) Array.Resize(ref _live, _live.Length + 1);
        return _numberOf.Count - 1;
    }

    private void Bind(int number, int slot)
    {
        (_slotOf[number], _numberOf[slot]) = (slot, number);
        _live[slot >> 6] |= 1UL << slot;
    }

    private void End(int slot)
    {
        _numberOf[slot] = -1;
        _live[slot >> 6] &= ~(1UL << slot);
        _dead.Add(slot);
    }

    /// <summary>Clears the next parts of the blocks of ended lives. Slots that ended before the first part was cleared are free after the last.</summary>
    private void Sweep(int parts)
    {
        for (; parts > 0; parts--)
        {
            if (_sweptParts == 0)
            {
                if (_dead.Count == 0) return;
                _sweeping.AddRange(_dead);
                _dead.Clear();
            }

            Sweep(ref _parts[_sweptParts]);
            _sweptParts = (_sweptParts + 1) % _parts.Length;
            if (_sweptParts != 0) continue;
            foreach (var slot in _sweeping)
            {
                _freeSlots.Push(slot);
                _isUsed[slot] = false;
            }

            _sweeping.Clear();
        }
    }

    private void Sweep(ref BlockTable part)
    {
        // Backwards from a gap: closing moves only entries from behind the place up to the next gap, and those are clean.
        for (int left = part.Size, place = part.FirstGap; left > 0; left--, place = (place > 0 ? place : part.Size) - 1)
        {
            ref var holders = ref part.HoldersAt(place);
            if ((holders & Shared) != 0)
            {
                var set = _sets[(int)holders]!;
                set.Keep(_live);
                if (set.IsEmpty) CloseSet(ref part, place, (int)holders);
            }
            else if (holders != 0)
            {
                holders = Living(holders);
                if (holders == 0) part.Close(place);
            }
        }
    }
}

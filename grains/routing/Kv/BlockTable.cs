using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Granary.Routing.Kv;

/// <summary>A part of the index: open addressing with linear probing over entries of 16 bytes, grown by half at three quarters.</summary>
/// <remarks>An entry without holders is empty, so any name may be a key. Deleting closes the gap: there are no tombstones to sweep.</remarks>
internal struct BlockTable
{
    private const int FirstSize = 8;

    private Entry[] _entries;

    public int Count { get; private set; }

    public readonly int Size => _entries is null ? 0 : _entries.Length;

    /// <summary>A place without an entry: there always is one.</summary>
    public readonly int FirstGap
    {
        get
        {
            var place = 0;
            while (place < Size && _entries[place].Holders != 0) place++;
            return place;
        }
    }

    /// <returns>The holders, 0 where the block is unknown.</returns>
    public readonly ulong Find(ulong name, uint hash)
    {
        if (_entries is null) return 0;
        for (var place = Home(hash); ; place = Next(place))
        {
            ref readonly var entry = ref _entries[place];
            if (entry.Holders == 0 || entry.Name == name) return entry.Holders;
        }
    }

    /// <summary>Has the processor fetch what <see cref="Find"/> will look at.</summary>
    public readonly unsafe void Prefetch(uint hash)
    {
        if (Sse.IsSupported && _entries is not null) Sse.Prefetch0(Unsafe.AsPointer(ref _entries[Home(hash)])); // Only a hint: the array may move meanwhile.
    }

    /// <returns>Where the block's holders stand; of an unknown block, a place for it. Write a value that is not 0, or call <see cref="Close"/>.</returns>
    public ref ulong Open(ulong name, uint hash, out int place)
    {
        if (_entries is null || Count >= _entries.Length - _entries.Length / 4) Grow();
        for (place = Home(hash); ; place = Next(place))
        {
            ref var entry = ref _entries![place];
            if (entry.Holders != 0 && entry.Name != name) continue;
            if (entry.Holders == 0) (entry.Name, Count) = (name, Count + 1);
            return ref entry.Holders;
        }
    }

    /// <returns>The place of a known block, -1 of an unknown one.</returns>
    public readonly int PlaceOf(ulong name, uint hash)
    {
        if (_entries is null) return -1;
        for (var place = Home(hash); _entries[place].Holders != 0; place = Next(place))
        {
            if (_entries[place].Name == name) return place;
        }

        return -1;
    }

    public readonly ref ulong HoldersAt(int place) => ref _entries[place].Holders;

    /// <summary>Forgets the block at a place, and moves those behind that belong before.</summary>
    public void Close(int place)
    {
        Count--;
        for (var next = Next(place); _entries[next].Holders != 0; next = Next(next))
        {
            var home = Home(KvIndex.Hash(_entries[next].Name));
            var stays = place <= next ? place < home && home <= next : place < home || home <= next;
            if (stays) continue;
            _entries[place] = _entries[next];
            place = next;
        }

        _entries[place] = default;
    }

    private void Grow()
    {
        var old = _entries ?? [];
        _entries = new Entry[Math.Max(FirstSize, old.Length + old.Length / 2)];
        foreach (var entry in old)
        {
            if (entry.Holders == 0) continue;
            var place = Home(KvIndex.Hash(entry.Name));
            while (_entries[place].Holders != 0) place = Next(place);
            _entries[place] = entry;
        }
    }

    private readonly int Home(uint hash) => (int)((ulong)hash * (uint)_entries.Length >> 32);

    private readonly int Next(int place) => ++place == _entries.Length ? 0 : place;

    internal struct Entry
    {
        public ulong Name;
        public ulong Holders;
    }
}

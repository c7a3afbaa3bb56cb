using System.Numerics;
using System.Runtime.InteropServices;

namespace Granary.Routing.Kv;

/// <summary>Who still has every block of a prompt, as its blocks are looked up one after the other.</summary>
/// <param name="alive">Bitmap of slots: at first all that count.</param>
/// <param name="overlaps">By number; at first zero.</param>
/// <param name="numberOf">By slot.</param>
internal readonly ref struct PrefixMatch(Span<ulong> alive, Span<PrefixOverlap> overlaps, List<int> numberOf)
{
    private readonly Span<ulong> _alive = alive;
    private readonly Span<PrefixOverlap> _overlaps = overlaps;
    private readonly ReadOnlySpan<int> _numberOf = CollectionsMarshal.AsSpan(numberOf);

    /// <summary>The next block's holders are at most two.</summary>
    /// <param name="one"><c>(slot + 1) &lt;&lt; 4 | tiers</c>, 0 for none.</param>
    /// <returns><see langword="false"/> when nobody is left.</returns>
    public bool Continue(int block, uint one, uint other)
    {
        var any = false;
        for (var word = 0; word < _alive.Length; word++)
        {
            if (_alive[word] == 0) continue;
            var stay = _alive[word] & (Bit(one, word) | Bit(other, word));
            Leave(word, _alive[word] & ~stay, block);
            _alive[word] = stay;
            any |= stay != 0;
        }

        if (any)
        {
            Count(one);
            Count(other);
        }

        return any;
    }

    /// <summary>The next block's holders are many.</summary>
    /// <returns><see langword="false"/> when nobody is left.</returns>
    public bool Continue(int block, HolderSet holders)
    {
        var any = false;
        var device = holders.Of(0);
        for (var word = 0; word < _alive.Length; word++)
        {
            if (_alive[word] == 0) continue;
            var there = word < device.Length ? device[word] : 0;
            var stay = _alive[word] & there;
            if (!holders.HasOnlyDevice)
            {
                for (var tier = 1; tier < KvIndex.Tiers; tier++)
                {
                    var slower = word < holders.Of(tier).Length ? holders.Of(tier)[word] & _alive[word] & ~stay : 0;
                    stay |= slower;
                    for (; slower != 0; slower &= slower - 1) Count(SlotAt(word, slower), tier);
                }
            }

            Leave(word, _alive[word] & ~stay, block);
            _alive[word] = stay;
            any |= stay != 0;
        }

        return any;
    }

    /// <summary>Those left have them all.</summary>
    public void End(int blocks)
    {
        for (var word = 0; word < _alive.Length; word++) Leave(word, _alive[word], blocks);
    }

    private static ulong Bit(uint lane, int word) => lane != 0 && (int)((lane >> 4) - 1) >> 6 == word ? 1UL << (int)((lane >> 4) - 1) : 0;

    private static int SlotAt(int word, ulong bits) => (word << 6) + BitOperations.TrailingZeroCount(bits);

    private void Leave(int word, ulong bits, int blocks)
    {
        for (; bits != 0 && blocks > 0; bits &= bits - 1)
        {
            ref var overlap = ref _overlaps[_numberOf[SlotAt(word, bits)]];
            overlap = overlap with { Device = blocks - overlap.Blocks };
        }
    }

    private void Count(uint lane)
    {
        if (lane == 0 || (lane & 1) != 0) return;
        var slot = (int)(lane >> 4) - 1;
        if ((_alive[slot >> 6] >> slot & 1) != 0) Count(slot, BitOperations.TrailingZeroCount(lane & 15));
    }

    private void Count(int slot, int tier)
    {
        ref var overlap = ref _overlaps[_numberOf[slot]];
        overlap = tier == 1 ? overlap with { Host = overlap.Host + 1 } : overlap with { Disk = overlap.Disk + 1 };
    }
}

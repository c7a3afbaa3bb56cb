using System.Numerics;

namespace Granary.Routing.Kv;

/// <summary>Who has a block that more than two replicas have: a bitmap over slots for each tier that is used.</summary>
internal sealed class HolderSet
{
    private readonly ulong[]?[] _tiers = new ulong[]?[KvIndex.Tiers];

    public bool IsEmpty
    {
        get
        {
            foreach (var tier in _tiers)
            {
                if (tier is not null && tier.AsSpan().ContainsAnyExcept(0UL)) return false;
            }

            return true;
        }
    }

    /// <summary>The bitmap of a tier; shorter than the slots are many where the rest is zero.</summary>
    public ReadOnlySpan<ulong> Of(int tier) => _tiers[tier];

    public bool HasOnlyDevice => _tiers[1] is null && _tiers[2] is null;

    /// <param name="tiers">A bit for each.</param>
    public void Set(int slot, uint tiers)
    {
        for (; tiers != 0; tiers &= tiers - 1)
        {
            ref var words = ref _tiers[BitOperations.TrailingZeroCount(tiers)];
            if (words is null || words.Length <= slot >> 6) Array.Resize(ref words, (slot >> 6) + 1);
            words[slot >> 6] |= 1UL << slot;
        }
    }

    public void Clear(int slot, int tier)
    {
        if (_tiers[tier] is { } words && slot >> 6 < words.Length) words[slot >> 6] &= ~(1UL << slot);
    }

    /// <summary>Leaves only the slots of the mask.</summary>
    public void Keep(ReadOnlySpan<ulong> mask)
    {
        foreach (var words in _tiers)
        {
            for (var i = 0; i < words?.Length; i++) words[i] &= mask[i];
        }
    }
}

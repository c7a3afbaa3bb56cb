using System.Numerics;

namespace Granary.Text.Tokenization;

/// <summary>What each pair of tokens becomes: a hash table with open addressing, half full at most.</summary>
/// <remarks>Immutable. One look is one multiplication and, nearly always, one cache line, which is most of what merging costs.</remarks>
internal sealed class MergeTable
{
    /// <summary>The rank of pairs that are not merged: above all others.</summary>
    public const int NoRank = int.MaxValue;

    private readonly Slot[] _slots;
    private readonly int _shift;

    public MergeTable(Dictionary<TokenPair, Merge> merges)
    {
        var size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(4, merges.Count * 2));
        _slots = new Slot[size];
        _shift = 64 - BitOperations.Log2((uint)size);
        foreach (var (pair, merge) in merges)
        {
            var index = IndexOf(Key(pair.Left, pair.Right));
            while (_slots[index].Key != 0) index = (index + 1) & (size - 1);
            _slots[index] = new Slot(Key(pair.Left, pair.Right), merge);
        }
    }

    /// <summary>The merge of two ids that are not negative; rank <see cref="NoRank"/> where there is none.</summary>
    public Merge Find(int left, int right)
    {
        var slots = _slots;
        var key = Key(left, right);
        for (var index = IndexOf(key); ; index++)
        {
            ref readonly var slot = ref slots[index & (slots.Length - 1)];
            if (slot.Key == key) return slot.Merge;
            if (slot.Key == 0) return new Merge(NoRank, -1);
        }
    }

    /// <summary>One more than the left id in the upper half, so that no pair's key is 0.</summary>
    private static ulong Key(int left, int right) => ((ulong)(uint)(left + 1) << 32) | (uint)right;

    private int IndexOf(ulong key) => (int)((key * 0x9E3779B97F4A7C15) >> _shift);

    private readonly record struct Slot(ulong Key, Merge Merge);
}

using System.Buffers;

namespace Granary.Engine.Onnx.Tokenization;

/// <summary>Joins neighbouring symbols by rank, lowest first and leftmost among equals, in O(n log n).</summary>
/// <remarks>Symbols form a linked list and candidate pairs a heap; a candidate whose pair has changed is dropped when it surfaces.</remarks>
internal sealed class BpeMerger
{
    private readonly Dictionary<long, Merge> _merges;

    /// <param name="merges">By left id × 2^32 + right id.</param>
    public BpeMerger(Dictionary<long, Merge> merges) => _merges = merges;

    public static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    /// <summary>Merges <paramref name="symbols"/> in place.</summary>
    /// <returns>How many ids at the front of <paramref name="symbols"/> are the result.</returns>
    public int Apply(Span<int> symbols)
    {
        if (symbols.Length < 2) return symbols.Length;
        var links = ArrayPool<int>.Shared.Rent(symbols.Length * 2);
        try
        {
            return Apply(symbols, links.AsSpan(0, symbols.Length), links.AsSpan(symbols.Length, symbols.Length));
        }
        finally
        {
            ArrayPool<int>.Shared.Return(links);
        }
    }

    private int Apply(Span<int> ids, Span<int> next, Span<int> previous)
    {
        var candidates = new PriorityQueue<int, ulong>(ids.Length);
        for (var index = 0; index < ids.Length; index++)
        {
            next[index] = index + 1 < ids.Length ? index + 1 : -1;
            previous[index] = index - 1;
            if (index > 0) Offer(candidates, index - 1, ids[index - 1], ids[index]);
        }

        while (candidates.TryDequeue(out var left, out var priority))
        {
            if (ids[left] < 0 || next[left] < 0) continue; // Swallowed by an earlier merge, or last now.
            var right = next[left];
            if (!_merges.TryGetValue(Key(ids[left], ids[right]), out var merge) || (uint)merge.Rank != (uint)(priority >> 32)) continue;

            ids[left] = merge.Id;
            ids[right] = -1;
            next[left] = next[right];
            if (next[right] >= 0) previous[next[right]] = left;

            if (previous[left] >= 0) Offer(candidates, previous[left], ids[previous[left]], ids[left]);
            if (next[left] >= 0) Offer(candidates, left, ids[left], ids[next[left]]);
        }

        var count = 0;
        for (var index = 0; index >= 0; index = next[index]) ids[count++] = ids[index];
        return count;
    }

    private void Offer(PriorityQueue<int, ulong> candidates, int position, int left, int right)
    {
        if (_merges.TryGetValue(Key(left, right), out var merge))
        {
            candidates.Enqueue(position, ((ulong)(uint)merge.Rank << 32) | (uint)position);
        }
    }

    /// <summary>What a pair becomes, and how early.</summary>
    internal readonly record struct Merge(int Rank, int Id);
}

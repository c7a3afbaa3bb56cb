using System.Buffers;

namespace Granary.Text.Tokenization;

/// <summary>Joins neighbouring symbols by rank, lowest first and leftmost among equals.</summary>
/// <remarks>
/// Words of text are a few symbols long: looking through all their pairs for each merge costs less than any bookkeeping.
/// Longer ones, which only unusual text has, take O(n log n): symbols form a linked list and candidate pairs a heap, and
/// a candidate whose pair has changed is dropped when it surfaces.
/// </remarks>
internal sealed class BpeMerger
{
    /// <summary>Most symbols merged by looking through all pairs.</summary>
    public const int MaxShortLength = 32;

    /// <summary>Most symbols whose working memory is kept for the next word.</summary>
    private const int MaxPooledSymbols = 1 << 16;

    private readonly MergeTable _merges;

    public BpeMerger(Dictionary<TokenPair, Merge> merges) => _merges = new MergeTable(merges);

    /// <summary>Merges <paramref name="symbols"/> in place.</summary>
    /// <returns>How many ids at the front of <paramref name="symbols"/> are the result.</returns>
    public int Apply(Span<int> symbols) =>
        symbols.Length <= MaxShortLength ? ApplyShort(symbols) : ApplyLong(symbols, out _);

    /// <summary>For at most <see cref="MaxShortLength"/> symbols.</summary>
    internal int ApplyShort(Span<int> symbols)
    {
        if (symbols.Length < 2) return symbols.Length;
        Span<Merge> pairs = stackalloc Merge[MaxShortLength]; // What each symbol becomes with the one to its right.
        pairs = pairs[..(symbols.Length - 1)];
        for (var index = 0; index < pairs.Length; index++) pairs[index] = _merges.Find(symbols[index], symbols[index + 1]);

        while (true)
        {
            var best = -1;
            var lowest = MergeTable.NoRank;
            for (var index = 0; index < pairs.Length; index++)
            {
                if (pairs[index].Rank >= lowest) continue;
                (best, lowest) = (index, pairs[index].Rank);
            }

            if (best < 0) return symbols.Length;
            symbols[best] = pairs[best].Id;
            symbols[(best + 2)..].CopyTo(symbols[(best + 1)..]);
            symbols = symbols[..^1];
            pairs[(best + 1)..].CopyTo(pairs[best..]);
            pairs = pairs[..^1];
            if (best > 0) pairs[best - 1] = _merges.Find(symbols[best - 1], symbols[best]);
            if (best < pairs.Length) pairs[best] = _merges.Find(symbols[best], symbols[best + 1]);
        }
    }

    /// <summary>For any number of symbols.</summary>
    /// <param name="steps">How many entries the heap moved, a machine-independent measure of the work.</param>
    internal int ApplyLong(Span<int> symbols, out long steps)
    {
        steps = 0;
        if (symbols.Length < 2) return symbols.Length;
        var pooled = symbols.Length <= MaxPooledSymbols;
        var linkCount = symbols.Length * 2;
        var entryCount = symbols.Length * 2; // Each merge takes one candidate and adds at most two.
        var links = pooled ? ArrayPool<int>.Shared.Rent(linkCount) : GC.AllocateUninitializedArray<int>(linkCount);
        var entries = pooled ? ArrayPool<ulong>.Shared.Rent(entryCount) : GC.AllocateUninitializedArray<ulong>(entryCount);
        var candidates = new CandidateHeap(entries);
        var count = Apply(symbols, links.AsSpan(0, symbols.Length), links.AsSpan(symbols.Length, symbols.Length), ref candidates);
        steps = candidates.Moves;
        if (!pooled) return count;
        ArrayPool<ulong>.Shared.Return(entries);
        ArrayPool<int>.Shared.Return(links);
        return count;
    }

    private int Apply(Span<int> ids, Span<int> next, Span<int> previous, ref CandidateHeap candidates)
    {
        for (var index = 0; index < ids.Length; index++)
        {
            next[index] = index + 1 < ids.Length ? index + 1 : -1;
            previous[index] = index - 1;
            if (index > 0) Offer(ref candidates, index - 1, ids[index - 1], ids[index]);
        }

        while (candidates.TryTake(out var rank, out var left))
        {
            if (ids[left] < 0 || next[left] < 0) continue; // Swallowed by an earlier merge, or last now.
            var right = next[left];
            var merge = _merges.Find(ids[left], ids[right]);
            if (merge.Rank != rank) continue;

            ids[left] = merge.Id;
            ids[right] = -1;
            next[left] = next[right];
            if (next[right] >= 0) previous[next[right]] = left;

            if (previous[left] >= 0) Offer(ref candidates, previous[left], ids[previous[left]], ids[left]);
            if (next[left] >= 0) Offer(ref candidates, left, ids[left], ids[next[left]]);
        }

        var count = 0;
        for (var index = 0; index >= 0; index = next[index]) ids[count++] = ids[index];
        return count;
    }

    private void Offer(ref CandidateHeap candidates, int position, int left, int right)
    {
        var merge = _merges.Find(left, right);
        if (merge.Rank != MergeTable.NoRank) candidates.Add(merge.Rank, position);
    }
}

using Granary.Text.Tokenization;

namespace Granary.Tests.Unit.Text.Tokenization;

public sealed class BpeMergerTests
{
    /// <summary>Both ways of merging give what merging the lowest pair over and over gives, at every length.</summary>
    [Fact]
    public void Apply_AnyMergesAnySymbols_MergesLowestAndLeftmostFirst()
    {
        for (var seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            var merges = RandomMerges(random, letters: random.Next(1, 5), count: random.Next(1, 40));
            var merger = new BpeMerger(merges);
            var length = random.Next(0, 100);
            var symbols = Enumerable.Range(0, length).Select(_ => random.Next(4)).ToArray();
            var expected = MergeOneByOne(merges, symbols);

            var any = symbols.ToArray();
            Assert.True(any.AsSpan(0, merger.Apply(any)).SequenceEqual(expected), $"seed {seed}: Apply");
            var heap = symbols.ToArray();
            Assert.True(heap.AsSpan(0, merger.ApplyLong(heap, out _)).SequenceEqual(expected), $"seed {seed}: ApplyLong");
            if (length > BpeMerger.MaxShortLength) continue;
            var scan = symbols.ToArray();
            Assert.True(scan.AsSpan(0, merger.ApplyShort(scan)).SequenceEqual(expected), $"seed {seed}: ApplyShort");
        }
    }

    /// <summary>The work on one endless word grows as n log n, counted in moves of the heap.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void ApplyLong_EndlessWord_StaysNearLinear(int period)
    {
        var merger = new BpeMerger(RandomMerges(new Random(1), letters: 3, count: 200));
        foreach (var length in (int[])[1 << 10, 1 << 14, 1 << 18])
        {
            var symbols = Enumerable.Range(0, length).Select(index => index % period).ToArray();
            merger.ApplyLong(symbols, out var steps);
            Assert.InRange(steps, length - 1, 3L * length * (1 + (long)Math.Log2(2 * length)));
        }
    }

    /// <summary>A repeated letter asks for pairs of equal ids only, so those must not be slow to look up.</summary>
    [Fact]
    public void TokenPair_EqualIds_HaveHashesOfTheirOwn()
    {
        var hashes = Enumerable.Range(0, 100_000).Select(id => new TokenPair(id, id).GetHashCode()).Distinct().Count();
        Assert.True(hashes > 99_000, $"{hashes} hashes for 100000 pairs");
    }

    /// <summary>Merges of tokens over 0..letters-1, in an order that need not be a trained one; a text has one id, however it is merged.</summary>
    private static Dictionary<TokenPair, Merge> RandomMerges(Random random, int letters, int count)
    {
        var texts = Enumerable.Range(0, letters).Select(letter => ((char)('a' + letter)).ToString()).ToList();
        var pairs = new HashSet<TokenPair>();
        for (var attempt = 0; attempt < count; attempt++)
        {
            var pair = new TokenPair(random.Next(texts.Count), random.Next(texts.Count));
            var text = texts[pair.Left] + texts[pair.Right];
            if (text.Length > 64 || !pairs.Add(pair)) continue;
            if (!texts.Contains(text)) texts.Add(text);
        }

        // Ids of merged tokens start at 4, above every symbol that a test uses.
        int Id(int index) => index < letters ? index : index - letters + 4;
        var order = pairs.ToArray();
        if (random.Next(2) == 0) random.Shuffle(order);
        return order.Select((pair, rank) => (pair, rank)).ToDictionary(
            item => new TokenPair(Id(item.pair.Left), Id(item.pair.Right)),
            item => new Merge(item.rank, Id(texts.IndexOf(texts[item.pair.Left] + texts[item.pair.Right]))));
    }

    private static int[] MergeOneByOne(Dictionary<TokenPair, Merge> merges, int[] symbols)
    {
        var ids = symbols.ToList();
        while (true)
        {
            var best = Enumerable.Range(0, Math.Max(ids.Count - 1, 0))
                .Where(index => merges.ContainsKey(new TokenPair(ids[index], ids[index + 1])))
                .Select(index => (Index: index, Merge: merges[new TokenPair(ids[index], ids[index + 1])]))
                .OrderBy(candidate => candidate.Merge.Rank).Cast<(int Index, Merge Merge)?>().FirstOrDefault();
            if (best is not { } found) return [.. ids];
            ids[found.Index] = found.Merge.Id;
            ids.RemoveAt(found.Index + 1);
        }
    }
}

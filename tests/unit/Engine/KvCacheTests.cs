using Granary.Engine.Kv;

namespace Granary.Tests.Unit.Engine;

public sealed class KvCacheTests
{
    private const int BlockTokens = 4;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 20)];

    [Fact]
    public void AcquirePrefix_WholePromptCached_LeavesTheLastTokenToCompute()
    {
        var cache = new KvCache(8, BlockTokens, shared: true);
        int[] tokens = [1, 2, 3, 4, 5, 6, 7, 8];
        Compute(cache, tokens);

        Assert.Equal(4, cache.AcquirePrefix(new(null), tokens));
        Assert.Equal(8, cache.AcquirePrefix(new(null), [.. tokens, 9]));
    }

    [Fact]
    public void AcquirePrefix_RunningSequence_SharesItsBlocks()
    {
        var cache = new KvCache(8, BlockTokens, shared: true);
        int[] tokens = [1, 2, 3, 4, 5];
        var first = new BlockTable(null);
        cache.TryGrow(first, tokens.Length);
        cache.Share(first, tokens, 5);

        var second = new BlockTable(null);
        cache.AcquirePrefix(second, tokens);

        Assert.Equal(first.Blocks[0], second.Blocks[0]);
        Assert.Equal(2, cache.ReferencesOf(first.Blocks[0]));
        Assert.Equal(2, cache.UsedCount);
    }

    [Fact]
    public void Share_SamePrefixComputedTwice_KeepsOneBlock()
    {
        var cache = new KvCache(8, BlockTokens, shared: true);
        int[] tokens = [1, 2, 3, 4, 5];
        var (first, second) = (new BlockTable(null), new BlockTable(null));
        foreach (var table in new[] { first, second }) cache.TryGrow(table, tokens.Length);
        Assert.Equal(4, cache.UsedCount);

        foreach (var table in new[] { first, second }) cache.Share(table, tokens, 5);

        Assert.Equal(first.Blocks[0], second.Blocks[0]);
        Assert.NotEqual(first.Blocks[1], second.Blocks[1]);
        Assert.Equal(3, cache.UsedCount);
    }

    [Fact]
    public void AcquirePrefix_SameTokensAfterOtherTokens_SharesNothing()
    {
        var cache = new KvCache(8, BlockTokens, shared: true);
        Compute(cache, [1, 2, 3, 4, 5, 6, 7, 8]);

        Assert.Equal(0, cache.AcquirePrefix(new(null), [5, 6, 7, 8, 9]));
        Assert.Equal(0, cache.AcquirePrefix(new(null), [9, 2, 3, 4, 5, 6, 7, 8, 9]));
    }

    [Fact]
    public void AcquirePrefix_OtherSalt_SharesNothing()
    {
        var cache = new KvCache(8, BlockTokens, shared: true);
        Compute(cache, [1, 2, 3, 4, 5], "a");

        Assert.Equal(0, cache.AcquirePrefix(new("b"), [1, 2, 3, 4, 5]));
        Assert.Equal(0, cache.AcquirePrefix(new(null), [1, 2, 3, 4, 5]));
        Assert.Equal(4, cache.AcquirePrefix(new("a"), [1, 2, 3, 4, 5]));
    }

    [Fact]
    public void AcquirePrefix_AllNamesCollide_NeverGivesAnotherPrefix()
    {
        var cache = new KvCache(16, BlockTokens, shared: true, namer: (_, _) => 42);
        int[] tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        Compute(cache, tokens, "a");

        Assert.Equal(0, cache.AcquirePrefix(new("a"), [5, 6, 7, 8, 9]));
        Assert.Equal(0, cache.AcquirePrefix(new("b"), tokens));
        Compute(cache, [5, 6, 7, 8, 9], "a");
        Assert.Equal(4, cache.AcquirePrefix(new("a"), tokens));
    }

    [Fact]
    public void TryGrow_BlocksNeeded_TakesAChainFromItsEnd()
    {
        var cache = new KvCache(3, BlockTokens, shared: true);
        int[] tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        Compute(cache, tokens);
        Assert.Equal(3, cache.CachedCount);

        var other = new BlockTable(null);
        cache.TryGrow(other, 1);

        Assert.Equal(2, cache.CachedCount);
        Assert.Equal(8, cache.AcquirePrefix(new(null), [.. tokens, 13]));
    }

    [Fact]
    public void TryGrow_TooFewFree_ChangesNothing()
    {
        var cache = new KvCache(3, BlockTokens, shared: true);
        var table = new BlockTable(null);
        cache.TryGrow(table, 4);

        Assert.False(cache.TryGrow(table, 20));
        Assert.Equal(1, table.Count);
        Assert.Equal(2, cache.FreeCount);
    }

    /// <summary>Whatever sequences come, grow and go, a shared prefix is the right one and no block is lost.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOperationSequence_SharesOnlyEqualPrefixes(int seed)
    {
        var random = new Random(seed);
        var cache = new KvCache(12, BlockTokens, shared: true, namer: random.Next(2) == 0 ? null : (previous, tokens) => (previous + (uint)tokens[0]) % 5);
        var content = new Dictionary<int, string>(); // What was computed into a block: its whole prefix.
        var live = new List<(BlockTable Table, int[] Tokens)>();
        for (var step = 0; step < 500; step++)
        {
            if (live.Count > 0 && random.Next(2) == 0)
            {
                cache.Release(live[0].Table);
                live.RemoveAt(0);
                continue;
            }

            var tokens = Enumerable.Range(0, random.Next(1, 18)).Select(_ => random.Next(2)).ToArray();
            var salt = random.Next(2) == 0 ? "salt" : null;
            var table = new BlockTable(salt);
            var cached = cache.AcquirePrefix(table, tokens);
            for (var i = 0; i < table.Count; i++) Assert.Equal(Prefix(salt, tokens, i), content[table.Blocks[i]]);
            if (!cache.TryGrow(table, tokens.Length))
            {
                cache.Release(table);
                continue;
            }

            for (var i = cached / BlockTokens; i < tokens.Length / BlockTokens; i++) content[table.Blocks[i]] = Prefix(salt, tokens, i);
            cache.Share(table, tokens, tokens.Length);
            for (var i = 0; i < tokens.Length / BlockTokens; i++) Assert.Equal(Prefix(salt, tokens, i), content[table.Blocks[i]]);
            live.Add((table, tokens));
            Assert.Equal(cache.UsedCount, live.SelectMany(sequence => sequence.Table.Blocks.ToArray()).Distinct().Count());
        }

        foreach (var (table, _) in live) cache.Release(table);
        Assert.Equal(cache.Capacity, cache.FreeCount);
    }

    private static string Prefix(string? salt, int[] tokens, int block) => $"{salt}|{string.Join(',', tokens[..((block + 1) * BlockTokens)])}";

    private static void Compute(KvCache cache, int[] tokens, string? salt = null)
    {
        var table = new BlockTable(salt);
        cache.AcquirePrefix(table, tokens);
        Assert.True(cache.TryGrow(table, tokens.Length));
        cache.Share(table, tokens, tokens.Length);
        cache.Release(table);
    }
}

using Granary.Engine.Kv;

namespace Granary.Tests.Unit.Engine;

public sealed class BlockPoolTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 20)];

    [Fact]
    public void TryAllocate_AllTaken_ReturnsFalseAndChangesNothing()
    {
        var pool = new BlockPool(2);
        Assert.True(pool.TryAllocate(out var first));
        Assert.True(pool.TryAllocate(out var second));

        Assert.False(pool.TryAllocate(out var none));
        Assert.Equal(-1, none);
        Assert.NotEqual(first, second);
        Assert.Equal(0, pool.FreeCount);
    }

    [Fact]
    public void TryAllocate_CachedAndEmptyFree_TakesEmptyFirstThenLeastRecentlyUsed()
    {
        var pool = new BlockPool(3);
        for (var i = 0; i < 3; i++) pool.TryAllocate(out _);
        pool.Release(2, cached: true);
        pool.Release(0, cached: true);
        pool.Release(1, cached: false);

        int[] order = new int[3];
        for (var i = 0; i < 3; i++) pool.TryAllocate(out order[i]);

        Assert.Equal([1, 2, 0], order);
    }

    [Fact]
    public void Release_NotReferenced_Throws() =>
        Assert.Throws<InvalidOperationException>(() => new BlockPool(1).Release(0, cached: false));

    /// <summary>Whatever the order of taking, sharing and returning, each block is free or referenced as often as it is held.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOperationSequence_ConservesBlocks(int seed)
    {
        var random = new Random(seed);
        var pool = new BlockPool(16);
        var held = new List<int>();
        for (var step = 0; step < 2_000; step++)
        {
            switch (random.Next(3))
            {
                case 0 when pool.TryAllocate(out var block):
                    Assert.DoesNotContain(block, held);
                    held.Add(block);
                    break;
                case 1 when held.Count > 0:
                    var shared = held[random.Next(held.Count)];
                    pool.Acquire(shared);
                    held.Add(shared);
                    break;
                case 2 when held.Count > 0:
                    var at = random.Next(held.Count);
                    pool.Release(held[at], cached: random.Next(2) == 0);
                    held.RemoveAt(at);
                    break;
            }

            Assert.Equal(16, pool.FreeCount + held.Distinct().Count());
            for (var block = 0; block < 16; block++) Assert.Equal(held.Count(other => other == block), pool.ReferencesOf(block));
        }
    }
}

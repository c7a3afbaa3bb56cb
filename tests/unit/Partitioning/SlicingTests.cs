using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

public sealed class SlicingTests
{
    public static TheoryData<int> Seeds() => [.. Enumerable.Range(0, 200)];

    /// <summary>Whatever can be cut is cut so that nothing is missing and nothing is twice, and every rank has the keys and values its queries attend to.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Cut_AnyModel_HoldsEverythingExactlyOnce(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random);
        var ranks = KnownShapes.RandomRanks(model, random);
        var layers = RandomSplit(model.LayerCount, random.Next(1, model.LayerCount + 1), random);

        var slices = Slicing.Cut(model, layers, ranks);

        Assert.Equal(layers.Length * ranks, slices.Length);
        CoverageCheck.Check(model, slices);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void CanCut_AnyRanks_SaysWhatCutRanksDoes(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random);
        for (var ranks = 0; ranks <= 64; ranks++)
        {
            if (Slicing.CanCut(model, ranks))
                Assert.Equal(ranks, Slicing.CutRanks(model, ranks).Length);
            else
                Assert.Throws<PartitionException>(() => Slicing.CutRanks(model, ranks));
        }
    }

    [Fact]
    public void CutRanks_FewerKvHeadsThanRanks_RanksShareThem()
    {
        var slices = Slicing.CutRanks(KnownShapes.Qwen2Half with { HeadCount = 16, KvHeadCount = 2 }, 8);
        Assert.Equal([0, 0, 0, 0, 1, 1, 1, 1], slices.Select(slice => slice.KvHeads.First));
        Assert.All(slices, slice => Assert.Equal(2, slice.Heads.Count));
    }

    [Fact]
    public void CutRanks_Uneven_FirstRanksHaveMore()
    {
        // 3 KV heads of 3 queries; 4864 columns are 152 units of 32; 151,936 rows are 149 units of 1024, the last of them short.
        var slices = Slicing.CutRanks(KnownShapes.Qwen2Half with { HeadCount = 9, KvHeadCount = 3 }, 2);
        Assert.Equal([6, 3], slices.Select(slice => slice.Heads.Count));
        Assert.Equal([2432, 2432], slices.Select(slice => slice.Intermediate.Count));
        Assert.Equal([75 * 1024, 151_936 - (75 * 1024)], slices.Select(slice => slice.Vocabulary.Count));
    }

    [Theory]
    [InlineData(3, "14 query heads over 2 KV heads cannot be cut into 3 ranks: more ranks than KV heads must be a multiple of 2 that divides 14.")]
    [InlineData(4, "14 query heads over 2 KV heads cannot be cut into 4 ranks: more ranks than KV heads must be a multiple of 2 that divides 14.")]
    [InlineData(0, "There are 0 ranks; there must be 1 to 256.")]
    public void CutRanks_WhatCannotBeCut_IsRefusedWithTheNumbers(int ranks, string message) =>
        Assert.Equal(message, Assert.Throws<PartitionException>(() => Slicing.CutRanks(KnownShapes.Qwen2Half, ranks)).Message);

    [Theory]
    [InlineData(new[] { 12, 11 }, "The stages have 23 layers; the model has 24.")]
    [InlineData(new[] { 24, 0 }, "A stage has 0 layers; it must have at least 1.")]
    [InlineData(new int[0], "There are 0 stages; a model of 24 layers has 1 to 24.")]
    public void Cut_LayersThatAreNotTheModels_IsRefusedWithTheNumbers(int[] layers, string message) =>
        Assert.Equal(message, Assert.Throws<PartitionException>(() => Slicing.Cut(KnownShapes.Qwen2Half, layers, 1)).Message);

    private static int[] RandomSplit(int count, int parts, Random random)
    {
        var split = Enumerable.Repeat(1, parts).ToArray();
        for (var left = count - parts; left > 0; left--) split[random.Next(parts)]++;
        return split;
    }
}

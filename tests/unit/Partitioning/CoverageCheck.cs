using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>What must hold of the slices of any replica.</summary>
internal static class CoverageCheck
{
    /// <summary>Every layer in one stage; in each stage every query head, column and row in one rank, with the KV heads that its queries need.</summary>
    public static void Check(ModelShape model, IReadOnlyList<ShardSlice> slices)
    {
        var (stages, ranks) = (slices[0].Stages, slices[0].Ranks);
        Assert.Equal(stages * ranks, slices.Count);
        var group = model.HeadCount / model.KvHeadCount;
        var layer = 0;
        for (var stage = 0; stage < stages; stage++)
        {
            var (head, column, row, kvHead) = (0, 0, 0, 0);
            for (var rank = 0; rank < ranks; rank++)
            {
                var slice = slices[(stage * ranks) + rank];
                Assert.Equal(new ShardPlace(stage, rank), slice.Place);
                Assert.Equal((stages, ranks), (slice.Stages, slice.Ranks));
                Assert.Equal(layer, slice.Layers.First);
                Assert.True(slice.Layers.Count > 0);
                Assert.Equal(slices[stage * ranks].Layers, slice.Layers);
                Follows(slice.Heads, ref head);
                Follows(slice.Intermediate, ref column);
                Follows(slice.Vocabulary, ref row);
                for (var query = slice.Heads.First; query < slice.Heads.End; query++) Assert.InRange(query / group, slice.KvHeads.First, slice.KvHeads.End - 1);
                Assert.Equal(slice.Heads.First / group, slice.KvHeads.First);
                Assert.Equal((slice.Heads.End - 1) / group, slice.KvHeads.End - 1);
                // Whole groups, or a part of a single one.
                Assert.True(slice.KvHeads.Count == 1 || slice.Heads.Count == slice.KvHeads.Count * group);
                Assert.InRange(slice.KvHeads.First, 0, kvHead);
                kvHead = slice.KvHeads.End;
                if (model.IntermediateSize >= ranks * Slicing.IntermediateUnit) Assert.Equal(0, slice.Intermediate.First % Slicing.IntermediateUnit);
                if (model.VocabularySize >= ranks * Slicing.VocabularyUnit) Assert.Equal(0, slice.Vocabulary.First % Slicing.VocabularyUnit);
            }

            Assert.Equal((model.HeadCount, model.IntermediateSize, model.VocabularySize, model.KvHeadCount), (head, column, row, kvHead));
            layer = slices[stage * ranks].Layers.End;
        }

        Assert.Equal(model.LayerCount, layer);
    }

    private static void Follows(Slice slice, ref int end)
    {
        Assert.Equal(end, slice.First);
        Assert.True(slice.Count > 0);
        end = slice.End;
    }
}

using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>What the planner takes a shard's weights for, against what the importer writes.</summary>
public sealed class RankCostsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Never less than the file, and not much more: sums of blocks and padding are the device's own, and tensors begin at pages.</summary>
    [Theory]
    [InlineData(WeightFormat.Float32, 1, 1)]
    [InlineData(WeightFormat.Float32, 2, 2)]
    [InlineData(WeightFormat.Int8, 2, 2)]
    [InlineData(WeightFormat.Int4, 1, 4)]
    [InlineData(WeightFormat.Int4, 3, 1)]
    public void WeightBytes_ImportedShard_CoversItsFile(WeightFormat weights, int stages, int ranks)
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape { Layers = 3, Hidden = 128, Intermediate = 352, Heads = 8, KvHeads = 4, HeadSize = 32, Vocabulary = 4096, Context = 64 }, seed: 3);
        var options = new ImportOptions { Weights = weights };
        var shape = ModelShapes.Read(_folder["source"], options);
        var model = new ShardedModel(_folder["source"], _folder["shards"], options, stages, ranks);

        Assert.All(model.Slices, slice =>
        {
            var file = new FileInfo(Path.Combine(model.Directory(slice.Place), ModelDescription.WeightsFileName)).Length;
            var planned = new RankCosts(shape, slice, new PartitionRequest()).WeightBytes(slice.Layers.Count, new StageRole(slice.IsFirstStage, slice.IsLastStage));
            Assert.InRange(planned, file, (long)(1.25 * file) + (12 * 4096 * (slice.Layers.Count + 1)));
        });
    }
}

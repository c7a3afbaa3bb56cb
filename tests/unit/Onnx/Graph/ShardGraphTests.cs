using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Graph;

/// <summary>What the graph of a shard has at its borders, and what of the weights.</summary>
public sealed class ShardGraphTests : IDisposable
{
    private static readonly string[] Step = ["cumulative_sequence_length", "past_seqlens", "block_table"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Import_FirstStageOfTwo_TakesTokensAndPassesOnTheResidual()
    {
        var graph = Read(Write(new SyntheticShape { Layers = 4 }, 2, 1), "0.0");

        Assert.Equal(["token_ids", .. Step, "key_cache.0", "value_cache.0", "key_cache.1", "value_cache.1"], graph.Inputs);
        Assert.Equal(["hidden_out", "key_cache_out.0", "value_cache_out.0", "key_cache_out.1", "value_cache_out.1"], graph.Outputs);
        Assert.Equal(["layers.1.down", "layers.1.mlp_norm.sum"], graph.Node("hidden_out").Inputs);
        Assert.DoesNotContain(graph.Nodes, node => node.Operation == "Gather" && node.Name != "embedding");
        Assert.DoesNotContain("head.weight", graph.Tensors.Keys);
        Assert.Empty(graph.Of("AllReduce"));
    }

    [Fact]
    public void Import_LastStageOfTwo_TakesTheResidualAndGivesLogits()
    {
        var graph = Read(Write(new SyntheticShape { Layers = 4 }, 2, 1), "1.0");

        Assert.Equal(["hidden_in", .. Step, "hidden_rows", "logit_rows", "key_cache.2", "value_cache.2", "key_cache.3", "value_cache.3"], graph.Inputs);
        Assert.Equal(["hidden", "logits", "key_cache_out.2", "value_cache_out.2", "key_cache_out.3", "value_cache_out.3"], graph.Outputs);
        Assert.Equal("hidden_in", graph.Node("layers.2.input_norm").Inputs[0]);
        Assert.DoesNotContain("embedding.weight", graph.Tensors.Keys);
        Assert.Equal(["head.rows", "layers.3.attention.rows", "layers.3.residual.rows"], graph.Of("Gather").Select(node => node.Name).Order());
    }

    [Fact]
    public void Import_MiddleStage_HasNeitherTokensNorLogits()
    {
        var graph = Read(Write(new SyntheticShape { Layers = 3 }, 3, 1), "1.0");

        Assert.Equal(["hidden_in", .. Step, "key_cache.1", "value_cache.1"], graph.Inputs);
        Assert.Equal(["hidden_out", "key_cache_out.1", "value_cache_out.1"], graph.Outputs);
    }

    [Fact]
    public void Import_RankOfTwo_SumsBehindEmbeddingOutputAndDown()
    {
        var shape = new SyntheticShape { AttentionBias = true, MlpBias = true };
        var graph = Read(Write(shape, 1, 2), "0.1");

        Assert.Equal(
            ["embedding", "layers.0.output", "layers.0.down", "layers.1.output", "layers.1.down"],
            graph.Of("AllReduce").Select(node => Assert.Single(node.Inputs)));
        Assert.All(graph.Of("AllReduce"), node => Assert.Equal("granary", node.Domain));
        Assert.Equal([32 + 1, 32], graph.Tensors["embedding.weight"].Dimensions);
        Assert.All(graph.Floats("embedding.weight")[(32 * 32)..], value => Assert.Equal(0, value));
        Assert.Equal([32, (2 + 2 * 1) * 8], graph.Tensors["layers.0.qkv.weight"].Dimensions);
        Assert.Equal([(2 + 2 * 1) * 8], graph.Tensors["layers.0.qkv.bias"].Dimensions);
        Assert.Equal([2 * 8, 32], graph.Tensors["layers.0.output.weight"].Dimensions);
        Assert.Equal([32, 2 * 16], graph.Tensors["layers.0.gate_up.weight"].Dimensions); // 48 columns: a block of 32 for rank 0, the rest for rank 1.
        Assert.Equal([16, 32], graph.Tensors["layers.0.down.weight"].Dimensions);
        Assert.Equal([32, 32], graph.Tensors["head.weight"].Dimensions);
        Assert.Equal((2, 1), ((int)graph.Node("layers.0.attention").Attributes["num_heads"], (int)graph.Node("layers.0.attention").Attributes["kv_num_heads"]));

        // Added behind the sum: all of it on every rank.
        Assert.Equal(["layers.0.output.reduced", "embedding.reduced", "layers.0.mlp_norm.weight", "layers.0.mlp_norm.input_bias"], graph.Node("layers.0.mlp_norm").Inputs);
        Assert.Equal([32], graph.Tensors["layers.0.mlp_norm.input_bias"].Dimensions);
    }

    [Fact]
    public void Import_FewerKvHeadsThanRanks_GivesRanksTheSameOne()
    {
        var model = Write(new SyntheticShape { KvHeads = 2 }, 1, 4);
        var whole = Read(Write(new SyntheticShape { KvHeads = 2 }, 1, 1), "0.0").Floats("layers.0.qkv.weight");

        for (var rank = 0; rank < 4; rank++)
        {
            var graph = Read(model, $"0.{rank}");
            Assert.Equal([32, (1 + 2) * 8], graph.Tensors["layers.0.qkv.weight"].Dimensions);
            var columns = graph.Floats("layers.0.qkv.weight")[..24]; // Of the first input: this rank's query, then key and value of the head it shares.
            Assert.Equal(whole[(rank * 8)..(rank * 8 + 8)], columns[..8]);
            Assert.Equal(whole[(32 + rank / 2 * 8)..(32 + rank / 2 * 8 + 8)], columns[8..16]);
            Assert.Equal(whole[(48 + rank / 2 * 8)..(48 + rank / 2 * 8 + 8)], columns[16..24]);
        }
    }

    /// <summary>A cut between blocks of 32 inputs quantises every weight as the whole does.</summary>
    [Theory]
    [InlineData(WeightFormat.Int8)]
    [InlineData(WeightFormat.Int4)]
    public void Import_QuantisedRanksCutBetweenBlocks_HoldTheBlocksOfTheWhole(WeightFormat format)
    {
        var shape = new SyntheticShape { Intermediate = 96 };
        var whole = Read(Write(shape, 1, 1, format), "0.0");
        var ranks = Write(shape, 1, 2, format);
        var (bytes, rowBytes) = (whole.Bytes("layers.0.down.weight"), whole.Bytes("layers.0.down.weight").Length / 32);

        var (first, second) = (Read(ranks, "0.0").Bytes("layers.0.down.weight"), Read(ranks, "0.1").Bytes("layers.0.down.weight"));

        Assert.Equal((2, 1), (first.Length / (rowBytes / 3 * 32), second.Length / (rowBytes / 3 * 32)));
        for (var row = 0; row < 32; row++)
        {
            byte[] together = [.. first[(row * rowBytes * 2 / 3)..((row + 1) * rowBytes * 2 / 3)], .. second[(row * rowBytes / 3)..((row + 1) * rowBytes / 3)]];
            Assert.Equal(bytes[(row * rowBytes)..((row + 1) * rowBytes)], together);
        }
    }

    /// <summary>A slice that is all of the model makes the graph of the model.</summary>
    [Fact]
    public void Import_WholeSlice_IsTheWholeModel()
    {
        var shape = new SyntheticShape { Architecture = "Qwen3ForCausalLM" };
        var model = Write(shape, 1, 1);

        var whole = ModelImporter.Import(_folder["source"], _folder["plain"], new ImportOptions());

        Assert.Null(whole.Slice);
        foreach (var file in new[] { "model.onnx", "model.onnx.data", "granary.json" })
            Assert.Equal(File.ReadAllBytes(Path.Combine(_folder["plain"], file)), File.ReadAllBytes(Path.Combine(model.Directory(default), file)));
    }

    private ShardedModel Write(SyntheticShape shape, int stages, int ranks, WeightFormat format = WeightFormat.Float32)
    {
        SyntheticModel.Write(_folder["source"], shape, seed: 17);
        return new(_folder["source"], _folder[$"{stages}x{ranks}"], new ImportOptions { Weights = format }, stages, ranks);
    }

    private static OnnxModelReader Read(ShardedModel model, string place) =>
        new(model.Directory(model.Slices.Single(slice => slice.Place.ToString() == place).Place));
}

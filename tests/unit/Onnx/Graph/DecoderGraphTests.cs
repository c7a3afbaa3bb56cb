using System.Text.Json.Nodes;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Graph;

/// <summary>The graph and weights of every family, interpreted operator by operator, against the plain forward pass.</summary>
public sealed class DecoderGraphTests : IDisposable
{
    private const int Tokens = 24;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, SyntheticShape, int> Families { get; } = new()
    {
        { "llama, tied", new SyntheticShape { Tied = true }, 0 },
        { "llama, biases, bfloat16", new SyntheticShape { AttentionBias = true, MlpBias = true, Type = "BF16" }, 0 },
        { "llama, head wider than hidden / heads, shards", new SyntheticShape { HeadSize = 12, Shards = 3 }, 0 },
        { "llama, ffn no multiple of 16, one layer", new SyntheticShape { Layers = 1, Intermediate = 43, Vocabulary = 61 }, 0 },
        { "llama3 scaling", Rope("""{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 16}"""), 0 },
        { "linear scaling", Rope("""{"type": "linear", "factor": 4}"""), 0 },
        { "dynamic scaling within the trained context", Rope("""{"type": "dynamic", "factor": 4}"""), 0 },
        { "yarn", Rope("""{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 32}"""), 0 },
        { "rope_parameters", new SyntheticShape { Settings = new JsonObject { ["rope_parameters"] = JsonNode.Parse("""{"rope_type": "default", "rope_theta": 500}""") } }, 0 },
        { "mistral, window", new SyntheticShape { Architecture = "MistralForCausalLM", Settings = new JsonObject { ["sliding_window"] = 5 } }, 0 },
        { "mistral, no window", new SyntheticShape { Architecture = "MistralForCausalLM", Settings = new JsonObject { ["sliding_window"] = null } }, 0 },
        { "qwen2, window unused", new SyntheticShape { Architecture = "Qwen2ForCausalLM", Settings = new JsonObject { ["sliding_window"] = 5, ["max_window_layers"] = 0 } }, 0 },
        { "qwen2, upper layers in a window", new SyntheticShape { Architecture = "Qwen2ForCausalLM", Settings = new JsonObject { ["use_sliding_window"] = true, ["sliding_window"] = 5, ["max_window_layers"] = 1 } }, 0 },
        { "qwen3, norms per head, tied", new SyntheticShape { Architecture = "Qwen3ForCausalLM", Tied = true }, 0 },
        { "qwen3, layer types", new SyntheticShape { Architecture = "Qwen3ForCausalLM", Settings = new JsonObject { ["use_sliding_window"] = true, ["sliding_window"] = 3, ["layer_types"] = new JsonArray("sliding_attention", "full_attention") } }, 0 },
        { "phi3, fused, float16", new SyntheticShape { Architecture = "Phi3ForCausalLM", Type = "F16" }, 0 },
        { "phi3, partial rotary, window", new SyntheticShape { Architecture = "Phi3ForCausalLM", Settings = new JsonObject { ["partial_rotary_factor"] = 0.5, ["sliding_window"] = 7 } }, 0 },
        { "phi3, longrope, long factors", LongRope(), 0 },
        { "phi3, longrope, short factors", LongRope(), 32 },
    };

    [Theory, MemberData(nameof(Families), DisableDiscoveryEnumeration = true)]
    public void Import_FamilyWithRandomWeights_ComputesThePlainForwardPass(string name, SyntheticShape shape, int contextLength)
    {
        SyntheticModel.Write(_folder["source"], shape, seed: 11);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions { ContextLength = contextLength });
        var tokens = RandomTokens(shape.Vocabulary);
        int[] rows = [3, Tokens - 1];
        var graph = new GraphInterpreter(_folder["out"]);

        var logits = graph.Run(tokens, rows);

        var naive = new NaiveTransformer(_folder["source"], contextLength);
        var (expected, hidden) = (naive.Logits(tokens), naive.Hidden(tokens));
        for (var row = 0; row < rows.Length; row++)
        {
            AssertClose(name, expected[rows[row]], logits.AsSpan(row * shape.Vocabulary, shape.Vocabulary), 1e-5);
            AssertClose(name, hidden[rows[row]], graph.Hidden.AsSpan(row * shape.Hidden, shape.Hidden), 1e-5);
        }
    }

    [Theory]
    [InlineData(WeightFormat.Int8, 0.05)]
    [InlineData(WeightFormat.Int4, 0.6)]
    public void Import_Quantised_StaysNearTheFloatResult(WeightFormat format, double tolerance)
    {
        // 43 is no multiple of a block: the last block of a row is filled with zeros.
        var shape = new SyntheticShape { Intermediate = 43 };
        SyntheticModel.Write(_folder["source"], shape, seed: 12);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions { Weights = format });
        var tokens = RandomTokens(shape.Vocabulary);

        var logits = new GraphInterpreter(_folder["out"]).Run(tokens, [Tokens - 1]);

        var expected = new NaiveTransformer(_folder["source"]).Logits(tokens)[^1];
        var error = Math.Sqrt(expected.Select((x, i) => (x - logits[i]) * (x - logits[i])).Average());
        Assert.InRange(error, 1e-6, tolerance * Math.Sqrt(expected.Select(x => x * x).Average()));
    }

    [Fact]
    public void Import_Model_HasTheBorderOfTheContract()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 13);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions());

        var model = new OnnxModelReader(_folder["out"]);

        Assert.Equal(10, model.IrVersion);
        Assert.Equal(new Dictionary<string, long> { [""] = 21, ["com.microsoft"] = 1, ["granary"] = 1 }, model.Opsets);
        Assert.Equal(
            ["token_ids", "cumulative_sequence_length", "past_seqlens", "block_table", "hidden_rows", "logit_rows", "key_cache.0", "value_cache.0", "key_cache.1", "value_cache.1"],
            model.Inputs);
        Assert.Equal(["hidden", "logits", "key_cache_out.0", "value_cache_out.0", "key_cache_out.1", "value_cache_out.1"], model.Outputs);
        var attention = model.Of("PagedAttention").First();
        Assert.Equal("granary", attention.Domain);
        Assert.Equal(["layers.0.qkv", "", "", "key_cache.0", "value_cache.0", "cumulative_sequence_length", "past_seqlens", "block_table", "cos_cache", "sin_cache"], attention.Inputs);
        Assert.All(model.Tensors.Values, tensor => Assert.Equal(0, tensor.Offset % 4096));
        var end = model.Tensors.Values.Max(tensor => tensor.Offset + tensor.Length);
        Assert.Equal(end, new FileInfo(Path.Combine(_folder["out"], "model.onnx.data")).Length);
    }

    [Fact]
    public void Import_Qwen3_PassesNormsToAttention()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape { Architecture = "Qwen3ForCausalLM" }, seed: 14);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions());

        var attention = new OnnxModelReader(_folder["out"]).Of("PagedAttention").First();

        Assert.Equal(["", "", "layers.0.attention.q_norm.weight", "layers.0.attention.k_norm.weight"], attention.Inputs[10..]);
        Assert.Equal(1e-5, attention.Attributes["qk_norm_epsilon"], 1e-9);
    }

    [Fact]
    public void Import_Quantised_StoresMatricesInBlocksAndTheRestInFloat()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape { Tied = true, Intermediate = 43 }, seed: 15);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions { Weights = WeightFormat.Int4 });

        var model = new OnnxModelReader(_folder["out"]);

        Assert.Empty(model.Of("MatMul"));
        Assert.Equal(2 * 4 + 1, model.Of("MatMulNBits").Count());
        Assert.Equal([32, 2, 16], model.Tensors["layers.0.down.weight"].Dimensions);
        Assert.Equal([64], model.Tensors["layers.0.down.scales"].Dimensions);
        Assert.Equal([64, 32], model.Tensors["embedding.weight"].Dimensions);
        Assert.Equal([64, 1, 16], model.Tensors["head.weight"].Dimensions);
        Assert.Equal(1, model.Tensors["embedding.weight"].ElementType);
    }

    private static SyntheticShape Rope(string scaling) => new() { Settings = new JsonObject { ["rope_scaling"] = JsonNode.Parse(scaling) } };

    private static SyntheticShape LongRope() => new()
    {
        Architecture = "Phi3ForCausalLM",
        Settings = new JsonObject
        {
            ["original_max_position_embeddings"] = 32,
            ["rope_scaling"] = JsonNode.Parse("""{"type": "su", "short_factor": [1, 1.1, 1.2, 1.3], "long_factor": [1.5, 2, 3, 4]}"""),
        },
    };

    private static int[] RandomTokens(int vocabulary)
    {
        var random = new Random(5);
        return [.. Enumerable.Range(0, Tokens).Select(_ => random.Next(vocabulary))];
    }

    private static void AssertClose(string name, double[] expected, ReadOnlySpan<double> actual, double tolerance)
    {
        for (var i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"{name}: value {i} is {actual[i]}, expected {expected[i]}");
    }
}

using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Tests.Support;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Tests.Unit.Onnx.Graph;

/// <summary>The graph for CUDA: its types, its attention and its borders. What it computes, only a machine with such a device can tell.</summary>
public sealed class CudaGraphTests : IDisposable
{
    private const int Float16 = 10;
    private const int BFloat16 = 16;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Import_ForCuda_AttendsWithTheRuntimesOperator()
    {
        var graph = Import(new SyntheticShape(), ModelTarget.CudaFloat16);

        var attention = graph.Node("layers.0.attention");
        Assert.Equal("com.microsoft", attention.Domain);
        Assert.Equal(
            [
                "layers.0.qkv", "", "", "key_cache.0", "value_cache.0", "cumulative_sequence_length", "past_seqlens", "block_table", "cos_cache", "sin_cache",
                "slot_mapping", "", "", "", "", "", "attention_metadata",
            ],
            attention.Inputs);
        Assert.Equal(["layers.0.attention", "key_cache_out.0", "value_cache_out.0"], attention.Outputs);
        Assert.DoesNotContain(graph.Nodes, node => node.Domain == "granary");
        Assert.Equal(
            [
                "token_ids", "cumulative_sequence_length", "past_seqlens", "block_table", "slot_mapping", "attention_metadata", "hidden_rows", "logit_rows",
                "key_cache.0", "value_cache.0", "key_cache.1", "value_cache.1",
            ],
            graph.Inputs);
    }

    [Fact]
    public void Import_Qwen3ForCuda_PassesNormsToAttention()
    {
        var attention = Import(new SyntheticShape { Architecture = "Qwen3ForCausalLM" }, ModelTarget.CudaBFloat16).Node("layers.1.attention");

        Assert.Equal(["slot_mapping", "", "layers.1.attention.q_norm.weight", "layers.1.attention.k_norm.weight", "", "", "attention_metadata"], attention.Inputs[10..]);
    }

    [Theory]
    [InlineData(ModelTarget.CudaFloat16, Float16)]
    [InlineData(ModelTarget.CudaBFloat16, BFloat16)]
    public void Import_ForCuda_HoldsSixteenBitsAndGivesFloat(ModelTarget target, int type)
    {
        var graph = Import(new SyntheticShape { AttentionBias = true, MlpBias = true }, target);

        Assert.All(graph.Tensors.Values, tensor => Assert.Equal(type, tensor.ElementType));
        Assert.Equal(["hidden", "logits"], graph.Of("Cast").Select(node => node.Name));
        Assert.All(graph.Of("Cast"), node => Assert.Equal(1, node.Attributes["to"]));
    }

    /// <summary>Rounded to nearest: as .NET rounds for float16, within half of the last bit for bfloat16.</summary>
    [Fact]
    public void Import_ForCuda_RoundsWeights()
    {
        var expected = Import(new SyntheticShape(), ModelTarget.Cpu).Floats("layers.0.gate_up.weight");

        var halves = Import(new SyntheticShape(), ModelTarget.CudaFloat16).Bytes("layers.0.gate_up.weight");
        var brains = Import(new SyntheticShape(), ModelTarget.CudaBFloat16).Bytes("layers.0.gate_up.weight");

        for (var i = 0; i < expected.Length; i++)
        {
            Assert.Equal((Half)expected[i], BitConverter.ToHalf(halves, 2 * i));
            var brain = BitConverter.Int32BitsToSingle(BitConverter.ToUInt16(brains, 2 * i) << 16);
            Assert.InRange(Math.Abs(brain - expected[i]), 0, Math.Abs(expected[i]) / 256);
        }
    }

    [Fact]
    public void Import_StageForCuda_CastsAtItsBorders()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape { Layers = 3, MlpBias = true }, seed: 25);
        var options = new ImportOptions { Target = ModelTarget.CudaFloat16 };
        var slice = Slicing.Cut(ModelShapes.Read(_folder["source"], new()), [1, 1, 1], 1)[1];
        ModelImporter.Import(_folder["source"], _folder["middle"], options with { Slice = slice });

        var graph = new OnnxModelReader(_folder["middle"]);

        Assert.Equal(["hidden_in.half", "hidden_out"], graph.Of("Cast").Select(node => node.Name));
        Assert.Equal((Float16, 1), ((int)graph.Node("hidden_in.half").Attributes["to"], (int)graph.Node("hidden_out").Attributes["to"]));
        Assert.Equal(["hidden_in.half", "nothing", "layers.1.input_norm.weight"], graph.Node("layers.1.input_norm").Inputs);
    }

    /// <summary>The runtime's own checks: it knows the operators and finds types and shapes consistent, and stops for want of a kernel alone.</summary>
    /// <remarks>Not for float16: without a device the runtime would put casts to float32 around products first, which attention does not take.</remarks>
    [Theory]
    [InlineData("LlamaForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    public void Import_ForCuda_IsAGraphThatTheRuntimeUnderstands(string architecture)
    {
        const ModelTarget target = ModelTarget.CudaBFloat16;
        Import(new SyntheticShape { Architecture = architecture }, target);
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };

        var failure = Assert.Throws<OnnxRuntimeException>(() => new InferenceSession(Path.Combine(_folder[target.ToString()], "model.onnx"), options));

        Assert.Contains("Could not find an implementation for", failure.Message);
    }

    [Fact]
    public void Import_QuantisedForCuda_IsRefused() => Refused("Weights is Int8", new ImportOptions { Target = ModelTarget.CudaFloat16, Weights = WeightFormat.Int8 });

    [Fact]
    public void Import_RanksForCuda_AreRefused()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 25);
        var slice = Slicing.Cut(ModelShapes.Read(_folder["source"], new()), [2], 2)[0];
        Refused("Slice.Ranks is 2", new ImportOptions { Target = ModelTarget.CudaBFloat16, Slice = slice });
    }

    [Fact]
    public void Import_WeightOutOfFloat16sRange_IsRefused()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 25);
        var path = Path.Combine(_folder["source"], "model.safetensors");
        var bytes = File.ReadAllBytes(path);
        BitConverter.TryWriteBytes(bytes.AsSpan(^4), 70_000f);
        File.WriteAllBytes(path, bytes);

        Refused("head.weight: 70000 is out of the range of float16", new ImportOptions { Target = ModelTarget.CudaFloat16 });
        ModelImporter.Import(_folder["source"], _folder["brain"], new ImportOptions { Target = ModelTarget.CudaBFloat16 });
    }

    private void Refused(string reason, ImportOptions options)
    {
        if (!Directory.Exists(_folder["source"])) SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 25);
        Assert.Contains(reason, Assert.Throws<ModelImportException>(() => ModelImporter.Import(_folder["source"], _folder["refused"], options)).Message);
    }

    private OnnxModelReader Import(SyntheticShape shape, ModelTarget target)
    {
        SyntheticModel.Write(_folder["source"], shape, seed: 25);
        ModelImporter.Import(_folder["source"], _folder[target.ToString()], new ImportOptions { Target = target });
        return new(_folder[target.ToString()]);
    }
}

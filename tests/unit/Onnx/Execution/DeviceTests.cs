using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Native;
using Granary.Tests.Support;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Tests.Unit.Onnx.Execution;

/// <summary>Providers by name, graphs for CUDA, and what steps on a device want: as far as a machine without one can tell.</summary>
public sealed class DeviceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("cuda")]
    [InlineData("tensorrt")]
    [InlineData("openvino")]
    [InlineData("migraphx")]
    public void Open_ProviderThatIsNotInstalled_IsNamedWithThoseThatAre(string provider)
    {
        Assert.Contains(provider, ExecutionProviders.Names);
        if (ExecutionProviders.IsInstalled(provider)) return;

        var refusal = Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(Import(ModelTarget.Cpu), new() { Provider = provider }));

        Assert.Contains($"Provider is '{provider}', which is not in the installed ONNX Runtime", refusal.Message);
        Assert.Contains("; it has cpu", refusal.Message);
    }

    [Fact]
    public void Open_UnknownProvider_IsRefused() => Assert.Contains(
        "Provider is 'CUDA'; known are cpu, cuda", Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(Import(ModelTarget.Cpu), new() { Provider = "CUDA" })).Message);

    [Fact]
    public void Open_CudaGraphOnTheCpu_IsRefused() => Assert.Contains(
        "a graph for CudaFloat16 runs on cuda only", Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(Import(ModelTarget.CudaFloat16), new())).Message);

    /// <summary>A cache that the session's allocator gives, here of the CPU's memory, is bound and used as our own.</summary>
    [Fact]
    public void Run_CacheOfTheSessionsAllocator_SameLogits()
    {
        var directory = Import(ModelTarget.Cpu);
        using var executor = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 2 });
        var expected = new SequenceRunner(executor).Append(1, 2, 3);
        using var operators = new SessionOperators(reducer: null);
        using var options = OnnxRuntimeEnvironment.CreateSessionOptions(1, operators);
        using var session = new InferenceSession(Path.Combine(directory, ModelDescription.GraphFileName), options);
        var shape = new ShardShape(executor.Model.Part, executor.Shape, 16, 1);
        using var cache = new DeviceKvCache(session, OrtMemoryInfo.DefaultInstance, executor.Model, executor.Shape, TensorElementType.Float);
        using var binding = new StepBinding(session, shape, cache, maxTableWidth: 1, isOnDevice: false);
        using var run = new RunOptions();

        binding.Load(new StepPlan
        {
            TokenCount = 3,
            SequenceCount = 1,
            BlockTableWidth = 1,
            HiddenCount = 1,
            LogitCount = 1,
            TokenIds = [1, 2, 3],
            CumulativeSequenceLengths = [0, 3],
            PastLengths = [0],
            BlockTable = [1],
            HiddenRows = [2],
            LogitRows = [0],
        });
        binding.Run(session, run);

        var logits = binding.Logits(1).ToArray();
        for (var i = 0; i < expected.Length; i++) Assert.Equal(expected[i], logits[i], 1e-5f);
    }

    /// <summary>Larger blocks are another layout of the same cache: the same bits.</summary>
    [Fact]
    public void Execute_BlocksOf64Tokens_SameBitsAsOf16()
    {
        var directory = Import(ModelTarget.Cpu);
        using var small = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 8 });
        using var large = OnnxStepExecutor.Open(directory, new() { KvBlockCount = 2, KvBlockTokens = 64 });
        var tokens = Enumerable.Range(0, 61).ToArray();

        Assert.Equal(64, large.Shape.KvBlockTokens);
        Assert.Equal(new SequenceRunner(small).Append(tokens), new SequenceRunner(large).Append(tokens));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(40)]
    [InlineData(8192)]
    public void Open_BlocksOfAnOddSize_AreRefused(int tokens) => Assert.Contains(
        $"KvBlockTokens is {tokens}", Assert.Throws<ModelSessionException>(() => OnnxStepExecutor.Open(Import(ModelTarget.Cpu), new() { KvBlockTokens = tokens })).Message);

    [Fact]
    public void Fill_MixedStep_GivesSlotsAndBounds()
    {
        var plan = Mixed();
        int[] table = [5, 2, 7, -1];
        var (slots, bounds) = (new int[4], new int[2]);

        AttentionPlaces.Fill(plan, blockTokens: 16, blockCount: 8, table, slots, bounds);

        Assert.Equal([5 * 16 + 14, 5 * 16 + 15, 2 * 16, 7 * 16 + 3], slots);
        Assert.Equal([3, 17], bounds);
        Assert.Equal([5, 2, 7, 0], table);
    }

    [Theory]
    [InlineData(new[] { 5, 8, 7, -1 }, "block_table[0, 1] is 8; the cache has 8 blocks")]
    [InlineData(new[] { 5, -1, 7, -1 }, "block_table[0, 1] is -1")]
    [InlineData(new[] { 5, 2, -2, -1 }, "block_table[1, 0] is -2")]
    public void Fill_BlockOutOfBounds_IsNamed(int[] table, string reason)
    {
        var failure = Assert.Throws<StepFailedException>(() => AttentionPlaces.Fill(Mixed(), 16, 8, table, new int[4], new int[2]));

        Assert.Contains(reason, failure.Message);
    }

    [Fact]
    public void Fill_RowTooShort_IsNamed()
    {
        var plan = Mixed();
        plan.BlockTableWidth = 1;

        var failure = Assert.Throws<StepFailedException>(() => AttentionPlaces.Fill(plan, 16, 8, new int[2], new int[4], new int[2]));

        Assert.Contains("Sequence 0 has 17 tokens; a row of block_table has room for 16", failure.Message);
    }

    /// <summary>Three tokens behind fourteen, and one behind three.</summary>
    private static StepPlan Mixed() => new()
    {
        TokenCount = 4,
        SequenceCount = 2,
        BlockTableWidth = 2,
        CumulativeSequenceLengths = [0, 3, 4],
        PastLengths = [14, 3],
    };

    private string Import(ModelTarget target)
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape(), seed: 24);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions { Target = target });
        return _folder["out"];
    }
}

using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Gpu;

/// <summary>The graph for CUDA against the one for the CPU, on the model that comes with the product.</summary>
public sealed class CudaExecutorTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Prompt, chunk and single tokens. The tolerance is that of 11 and of 8 bits of mantissa through five layers, relative to the logits.</summary>
    [CudaTheory]
    [InlineData(ModelTarget.CudaFloat16, 0.01)]
    [InlineData(ModelTarget.CudaBFloat16, 0.08)]
    public void Execute_PromptChunkAndDecode_NearTheCpu(ModelTarget target, double tolerance)
    {
        using var cpu = Open(ModelTarget.Cpu);
        using var cuda = Open(target);
        var random = new Random(41);
        var (expected, actual) = (new SequenceRunner(cpu), new SequenceRunner(cuda));
        foreach (var length in new[] { 70, 300, 1, 1, 1 })
        {
            var tokens = Enumerable.Range(0, length).Select(_ => random.Next(cpu.Shape.VocabularySize)).ToArray();
            AssertNear(expected.Append(tokens), actual.Append(tokens), tolerance);
        }
    }

    /// <summary>Two stages hand a float32 residual over that has 16 bits: the same numbers as one.</summary>
    [CudaTheory]
    [InlineData(ModelTarget.CudaFloat16)]
    [InlineData(ModelTarget.CudaBFloat16)]
    public void Execute_TwoStages_EqualsOne(ModelTarget target)
    {
        var options = Options(target);
        using var one = Open(target);
        using var two = new ShardedModel(EmbeddedModel.Folder, _folder["stages"], new ImportOptions { Target = target }, 2, 1).Open(options);
        int[] prompt = [.. Enumerable.Range(5, 90)];

        Assert.Equal(new SequenceRunner(one).Append(prompt), new SequenceRunner(two).Append(prompt));
    }

    private OnnxStepExecutor Open(ModelTarget target)
    {
        var directory = _folder[target.ToString()];
        ModelImporter.Import(EmbeddedModel.Folder, directory, new ImportOptions { Target = target });
        return OnnxStepExecutor.Open(directory, Options(target));
    }

    private static OnnxExecutorOptions Options(ModelTarget target) =>
        target == ModelTarget.Cpu ? new() { KvBlockCount = 32 } : new() { Provider = ExecutionProviders.Cuda, KvBlockCount = 4 };

    private static void AssertNear(float[] expected, float[] actual, double tolerance)
    {
        var (errors, squares) = (0.0, 0.0);
        for (var i = 0; i < expected.Length; i++)
        {
            errors += Math.Pow(expected[i] - actual[i], 2);
            squares += Math.Pow(expected[i], 2);
        }

        Assert.InRange(Math.Sqrt(errors / squares), 0, tolerance);
    }
}

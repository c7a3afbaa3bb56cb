using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Runs steps of a model that is not cut: its one shard.</summary>
/// <inheritdoc cref="OnnxShardExecutor" path="/remarks"/>
public sealed class OnnxStepExecutor : IStepExecutor
{
    private readonly OnnxShardExecutor _shard;
    private readonly ShardOutput _output;
    private long? _begun;

    private OnnxStepExecutor(OnnxShardExecutor shard) => (_shard, _output) = (shard, new ShardOutput(shard));

    public ExecutorShape Shape => _shard.Shape.Whole;

    /// <inheritdoc/>
    public IKvBlockStore? BlockStore => _shard.BlockStore;

    public ModelDescription Model => _shard.Model;

    /// <inheritdoc cref="OnnxShardExecutor.IsPrepacked"/>
    public bool IsPrepacked => _shard.IsPrepacked;

    /// <summary>Opens an imported folder; the first time on a machine its weights are laid out for the CPU and kept.</summary>
    /// <exception cref="ModelImportException">The folder is not an imported model.</exception>
    /// <exception cref="ModelSessionException">It holds only a part of a model, the runtime refuses the graph, or a size asked for is out of bounds.</exception>
    public static OnnxStepExecutor Open(string modelDirectory, OnnxExecutorOptions options) =>
        ModelDescription.Load(modelDirectory).Slice is { } slice
            ? throw new ModelSessionException($"{modelDirectory}: holds stage {slice.Place.Stage} of {slice.Stages}, rank {slice.Place.Rank} of {slice.Ranks}; a replica of one shard needs all of a model.")
            : new OnnxStepExecutor(OnnxShardExecutor.Open(modelDirectory, options));

    /// <inheritdoc/>
    public void Begin(StepPlan plan)
    {
        if (_begun is { } step) throw new InvalidOperationException($"Step {step} has not ended.");
        _shard.Load(plan);
        _begun = plan.Step;
    }

    /// <inheritdoc/>
    public StepOutput End()
    {
        if (_begun is null) throw new InvalidOperationException("No step has begun.");
        _begun = null;
        _shard.Run();
        return _output;
    }

    public void Dispose() => _shard.Dispose();

    /// <summary>The memory that the session wrote.</summary>
    private sealed class ShardOutput(OnnxShardExecutor shard) : StepOutput
    {
        public override Span<float> Hidden => shard.WritableHidden;

        public override Span<float> Logits(int row)
        {
            var columns = shard.Shape.Whole.VocabularySize;
            return shard.WritableLogits.Slice(row * columns, columns);
        }
    }
}

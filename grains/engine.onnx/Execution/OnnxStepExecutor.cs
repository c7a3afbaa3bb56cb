using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Runs steps of a model that is not cut on the CPU: its one shard.</summary>
/// <inheritdoc cref="OnnxShardExecutor" path="/remarks"/>
public sealed class OnnxStepExecutor : IStepExecutor
{
    private readonly OnnxShardExecutor _shard;

    private OnnxStepExecutor(OnnxShardExecutor shard) => _shard = shard;

    public ExecutorShape Shape => _shard.Shape.Whole;

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
    public StepOutput Execute(StepPlan plan)
    {
        _shard.Execute(plan);
        return new StepOutput(_shard.WritableHidden, _shard.WritableLogits);
    }

    public void Dispose() => _shard.Dispose();
}

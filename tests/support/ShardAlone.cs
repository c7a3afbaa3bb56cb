using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>A shard that is the whole model, as an engine's executor: no links, no ranks, no stages. What a cut model is compared to.</summary>
public sealed class ShardAlone(IShardExecutor shard) : IStepExecutor
{
    private readonly LocalStepOutput _output = new(shard.Shape.Whole.HiddenSize, shard.Shape.Whole.VocabularySize);

    public ExecutorShape Shape => shard.Shape.Whole;

    public void Begin(StepPlan plan)
    {
        shard.Execute(plan);
        _output.Reserve(plan);
        shard.Hidden.CopyTo(_output.Hidden);
        shard.Logits.CopyTo(_output.AllLogits);
    }

    public StepOutput End() => _output;

    public void Dispose() => shard.Dispose();
}

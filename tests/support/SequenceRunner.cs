using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>Feeds one sequence to an executor, step by step, in blocks of the KV cache handed out in reverse.</summary>
public sealed class SequenceRunner(IStepExecutor executor)
{
    private int _past;

    /// <summary>Appends tokens to the sequence.</summary>
    /// <returns>Logits behind the last of them.</returns>
    public float[] Append(params int[] tokens)
    {
        var shape = executor.Shape;
        var width = (_past + tokens.Length + shape.KvBlockTokens - 1) / shape.KvBlockTokens;
        var plan = new StepPlan
        {
            Step = _past + 1,
            TokenCount = tokens.Length,
            SequenceCount = 1,
            BlockTableWidth = width,
            SampledCount = 1,
            TokenIds = tokens,
            CumulativeSequenceLengths = [0, tokens.Length],
            PastLengths = [_past],
            BlockTable = [.. Enumerable.Range(0, width).Select(block => shape.KvBlockCount - 1 - block)],
            SampledRows = [tokens.Length - 1],
        };
        var logits = executor.Execute(plan)[..shape.VocabularySize].ToArray();
        _past += tokens.Length;
        return logits;
    }
}

using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>Feeds one sequence to an executor, step by step, in blocks of the KV cache handed out in reverse.</summary>
public sealed class SequenceRunner(IStepExecutor executor)
{
    private int _past;

    /// <summary>States after the final norm of the tokens appended last: [tokens][hidden].</summary>
    public float[][] Hidden { get; private set; } = [];

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
            HiddenCount = tokens.Length,
            LogitCount = 1,
            TokenIds = tokens,
            CumulativeSequenceLengths = [0, tokens.Length],
            PastLengths = [_past],
            BlockTable = [.. Enumerable.Range(0, width).Select(block => shape.KvBlockCount - 1 - block)],
            HiddenRows = [.. Enumerable.Range(0, tokens.Length)],
            LogitRows = [tokens.Length - 1],
            RowTemperatures = [RowWants.Whole],
        };
        var output = executor.Execute(plan);
        Hidden = [.. output.Hidden.Chunk(shape.HiddenSize)];
        _past += tokens.Length;
        return output.Logits;
    }
}

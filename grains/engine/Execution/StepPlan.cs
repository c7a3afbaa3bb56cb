namespace Granary.Engine.Execution;

/// <summary>One step: tokens of many sequences, decode and prefill alike, packed into one batch.</summary>
/// <remarks>
/// Made by the scheduler, read by the executor. The arrays belong to the scheduler, are reused from step to step and may be
/// longer than what they hold: the counts say how much is valid. With T tokens of B sequences:
/// <code>
/// token_ids                   [T]      sequence by sequence, each sequence's tokens in order
/// cumulative_sequence_length  [B + 1]  sequence b owns tokens [c[b], c[b + 1])
/// past_seqlens                [B]      tokens of the sequence already in the KV cache; the first token's position
/// block_table                 [B, W]   KV blocks of the sequence in order; unused entries are -1
/// hidden_rows                 [N]      tokens whose hidden states are wanted, or needed for logits, ascending
/// logit_rows                  [S]      those of them whose logits are wanted, as places in hidden_rows, ascending
/// row_temperatures            [S]      how much of each row of logits is wanted; see <see cref="RowTemperatures"/>
/// </code>
/// </remarks>
public sealed class StepPlan
{
    /// <summary>Counts the steps of one life of the engine, from 1.</summary>
    public long Step { get; set; }

    /// <summary>T.</summary>
    public int TokenCount { get; set; }

    /// <summary>B.</summary>
    public int SequenceCount { get; set; }

    /// <summary>W: entries of a row of <see cref="BlockTable"/> in this step.</summary>
    public int BlockTableWidth { get; set; }

    /// <summary>N, at most T.</summary>
    public int HiddenCount { get; set; }

    /// <summary>S, at most N and <see cref="ExecutorShape.MaxLogitRows"/>.</summary>
    public int LogitCount { get; set; }

    public int[] TokenIds { get; set; } = [];

    public int[] CumulativeSequenceLengths { get; set; } = [];

    public int[] PastLengths { get; set; } = [];

    /// <summary>Row-major, <see cref="BlockTableWidth"/> entries a row.</summary>
    public int[] BlockTable { get; set; } = [];

    public int[] HiddenRows { get; set; } = [];

    public int[] LogitRows { get; set; } = [];

    /// <summary>What is wanted of each row of logits: one of <see cref="RowWants"/>, or a summary at this temperature.</summary>
    /// <remarks>All are <see cref="RowWants.Whole"/> unless the executor's <see cref="ExecutorShape.Summaries"/> says that it heeds them.</remarks>
    public float[] RowTemperatures { get; set; } = [];

    /// <summary>Makes another plan the same step, reusing its arrays.</summary>
    public void CopyTo(StepPlan target)
    {
        target.Step = Step;
        target.TokenCount = TokenCount;
        target.SequenceCount = SequenceCount;
        target.BlockTableWidth = BlockTableWidth;
        target.HiddenCount = HiddenCount;
        target.LogitCount = LogitCount;
        target.TokenIds = Copy(TokenIds, TokenCount, target.TokenIds);
        target.CumulativeSequenceLengths = Copy(CumulativeSequenceLengths, SequenceCount + 1, target.CumulativeSequenceLengths);
        target.PastLengths = Copy(PastLengths, SequenceCount, target.PastLengths);
        target.BlockTable = Copy(BlockTable, SequenceCount * BlockTableWidth, target.BlockTable);
        target.HiddenRows = Copy(HiddenRows, HiddenCount, target.HiddenRows);
        target.LogitRows = Copy(LogitRows, LogitCount, target.LogitRows);
        target.RowTemperatures = Copy(RowTemperatures, LogitCount, target.RowTemperatures);
    }

    private static T[] Copy<T>(T[] source, int count, T[] target)
    {
        if (target.Length < count) target = new T[Math.Max(count, 2 * target.Length)];
        source.AsSpan(0, count).CopyTo(target);
        return target;
    }
}

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
}

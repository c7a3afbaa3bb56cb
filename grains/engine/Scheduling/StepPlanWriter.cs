using Granary.Engine.Execution;

namespace Granary.Engine.Scheduling;

/// <summary>Writes scheduled sequences into a step plan, reusing its arrays.</summary>
internal sealed class StepPlanWriter(int maxTokens, int maxSequences)
{
    private long _step;

    public void Write(StepPlan plan, List<Sequence> sequences)
    {
        Reserve(plan, sequences);
        plan.Step = ++_step;
        plan.SequenceCount = sequences.Count;
        plan.TokenCount = 0;
        plan.SampledCount = 0;
        plan.CumulativeSequenceLengths[0] = 0;
        for (var b = 0; b < sequences.Count; b++)
        {
            var sequence = sequences[b];
            sequence.Tokens.Slice(sequence.Computed, sequence.Scheduled).CopyTo(plan.TokenIds.AsSpan(plan.TokenCount));
            plan.TokenCount += sequence.Scheduled;
            plan.PastLengths[b] = sequence.Computed;
            plan.CumulativeSequenceLengths[b + 1] = plan.TokenCount;
            if (sequence.Scheduled == sequence.Pending) plan.SampledRows[plan.SampledCount++] = plan.TokenCount - 1;

            var row = plan.BlockTable.AsSpan(b * plan.BlockTableWidth, plan.BlockTableWidth);
            sequence.Blocks.Blocks.CopyTo(row);
            row[sequence.Blocks.Count..].Fill(-1);
        }
    }

    private void Reserve(StepPlan plan, List<Sequence> sequences)
    {
        plan.BlockTableWidth = 0;
        foreach (var sequence in sequences) plan.BlockTableWidth = Math.Max(plan.BlockTableWidth, sequence.Blocks.Count);

        if (plan.TokenIds.Length < maxTokens) plan.TokenIds = new int[maxTokens];
        if (plan.CumulativeSequenceLengths.Length < maxSequences + 1)
        {
            plan.CumulativeSequenceLengths = new int[maxSequences + 1];
            plan.PastLengths = new int[maxSequences];
            plan.SampledRows = new int[maxSequences];
        }

        var entries = plan.BlockTableWidth * sequences.Count;
        if (plan.BlockTable.Length < entries) plan.BlockTable = new int[Math.Max(entries, plan.BlockTable.Length * 2)];
    }
}

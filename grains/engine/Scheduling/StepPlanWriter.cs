using Granary.Engine.Execution;
using Granary.Engine.Sampling;

namespace Granary.Engine.Scheduling;

/// <summary>Writes scheduled sequences into a step plan, reusing its arrays.</summary>
/// <param name="summaries">Whether the executor heeds how much of a row is wanted.</param>
internal sealed class StepPlanWriter(int maxTokens, int maxSequences, int maxLogitRows, bool summaries)
{
    private long _step;

    public void Write(StepPlan plan, List<Sequence> sequences)
    {
        Reserve(plan, sequences);
        plan.Step = ++_step;
        plan.SequenceCount = sequences.Count;
        plan.TokenCount = 0;
        plan.HiddenCount = 0;
        plan.LogitCount = 0;
        plan.CumulativeSequenceLengths[0] = 0;
        for (var b = 0; b < sequences.Count; b++)
        {
            var sequence = sequences[b];
            sequence.Tokens.Slice(sequence.Computed, sequence.Scheduled).CopyTo(plan.TokenIds.AsSpan(plan.TokenCount));
            plan.TokenCount += sequence.Scheduled;
            plan.PastLengths[b] = sequence.Computed;
            plan.CumulativeSequenceLengths[b + 1] = plan.TokenCount;
            WriteRows(plan, sequence);

            var row = plan.BlockTable.AsSpan(b * plan.BlockTableWidth, plan.BlockTableWidth);
            sequence.Blocks.Blocks.CopyTo(row);
            row[sequence.Blocks.Count..].Fill(-1);
        }
    }

    /// <summary>First the positions of the prompt that are read, then the last token if another is to follow it.</summary>
    private void WriteRows(StepPlan plan, Sequence sequence)
    {
        sequence.FirstHiddenRow = plan.HiddenCount;
        sequence.FirstLogitRow = plan.LogitCount;
        if (sequence.Reading is { } reading)
        {
            var row = plan.TokenCount - sequence.Scheduled + reading.Next - sequence.Computed;
            for (var left = reading.RowsOf(sequence.Computed, sequence.Scheduled); left > 0; left--)
            {
                if (reading.NeedsLogits) WantLogits(plan, RowWants.Whole);
                plan.HiddenRows[plan.HiddenCount++] = row++;
            }
        }

        if (sequence.Scheduled != sequence.Pending || !sequence.WantsToken) return;
        WantLogits(plan, summaries ? Sampler.WantOf(sequence.Sampling, sequence.GeneratedCount) : RowWants.Whole);
        plan.HiddenRows[plan.HiddenCount++] = plan.TokenCount - 1;
    }

    /// <summary>Of the row of hidden states that comes next.</summary>
    private static void WantLogits(StepPlan plan, float temperature)
    {
        plan.RowTemperatures[plan.LogitCount] = temperature;
        plan.LogitRows[plan.LogitCount++] = plan.HiddenCount;
    }

    private void Reserve(StepPlan plan, List<Sequence> sequences)
    {
        plan.BlockTableWidth = 0;
        foreach (var sequence in sequences) plan.BlockTableWidth = Math.Max(plan.BlockTableWidth, sequence.Blocks.Count);

        if (plan.TokenIds.Length < maxTokens)
        {
            plan.TokenIds = new int[maxTokens];
            plan.HiddenRows = new int[maxTokens];
            plan.LogitRows = new int[maxLogitRows];
            plan.RowTemperatures = new float[maxLogitRows];
        }

        if (plan.CumulativeSequenceLengths.Length < maxSequences + 1)
        {
            plan.CumulativeSequenceLengths = new int[maxSequences + 1];
            plan.PastLengths = new int[maxSequences];
        }

        var entries = plan.BlockTableWidth * sequences.Count;
        if (plan.BlockTable.Length < entries) plan.BlockTable = new int[Math.Max(entries, plan.BlockTable.Length * 2)];
    }
}

using Granary.Engine.Execution;

namespace Granary.Engine.Onnx.Execution;

/// <summary>What the runtime's paged attention wants besides the plan, checked as nothing on the device checks it.</summary>
internal static class AttentionPlaces
{
    /// <param name="table">The plan's block table, row-major; entries that are used by nobody become block 0.</param>
    /// <param name="slots">[T]: filled with block · <paramref name="blockTokens"/> + place in the block.</param>
    /// <param name="bounds">[2]: filled with the most tokens of a sequence in this step, and in all.</param>
    /// <exception cref="StepFailedException">A block is none of the cache's, or a row of the table too short.</exception>
    public static void Fill(StepPlan plan, int blockTokens, int blockCount, Span<int> table, Span<int> slots, Span<int> bounds)
    {
        var width = plan.BlockTableWidth;
        if (table.IndexOfAnyExceptInRange(-1, blockCount - 1) is var bad and >= 0) throw Refuse(bad / width, bad % width, table[bad], blockCount);
        bounds.Clear();
        for (var sequence = 0; sequence < plan.SequenceCount; sequence++)
        {
            var (first, end, past) = (plan.CumulativeSequenceLengths[sequence], plan.CumulativeSequenceLengths[sequence + 1], plan.PastLengths[sequence]);
            var length = past + (end - first);
            if (length > (long)width * blockTokens) throw new StepFailedException($"Sequence {sequence} has {length} tokens; a row of block_table has room for {(long)width * blockTokens}.");
            bounds[0] = Math.Max(bounds[0], end - first);
            bounds[1] = Math.Max(bounds[1], length);
            for (var token = first; token < end; token++)
            {
                var (entry, place) = Math.DivRem(past + token - first, blockTokens);
                var block = table[(sequence * width) + entry];
                if (block < 0) throw Refuse(sequence, entry, block, blockCount);
                slots[token] = checked((block * blockTokens) + place);
            }
        }

        table.Replace(-1, 0);
    }

    private static StepFailedException Refuse(int sequence, int entry, int block, int blockCount) =>
        new($"block_table[{sequence}, {entry}] is {block}; the cache has {blockCount} blocks.");
}

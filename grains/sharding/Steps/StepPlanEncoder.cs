using System.Runtime.InteropServices;
using Granary.Engine.Execution;

namespace Granary.Sharding.Steps;

/// <summary>Writes step plans as payloads for <see cref="StepPlanDecoder"/>; of a block table only what changed.</summary>
/// <remarks>
/// Both ends keep some rows of block tables, in numbered slots. A sequence names a slot, how much of its row stays, and what follows; the
/// slot holds the new row from then on. Only this end decides which slot that is, so the other has nothing to guess. A sequence finds its
/// slot by the block that it wrote last, which is its own; where that fails, the slot unused for longest takes the whole row.
/// <code>
/// int32, little-endian: T, B, W, N, S
/// B times               tokens, past length, slot, entries that stay, entries that follow, those entries
/// T token ids, N hidden rows, S logit rows, S float32 of what is wanted of each
/// </code>
/// </remarks>
/// <param name="blockTokens">Tokens of a block.</param>
/// <param name="slots">Rows that both ends keep.</param>
internal sealed class StepPlanEncoder(int blockTokens, int slots)
{
    public const int HeaderWords = 5;
    public const int SequenceWords = 5;

    private readonly Row[] _rows = [.. Enumerable.Range(0, slots).Select(_ => new Row())];
    private readonly Dictionary<int, int> _slotOfBlock = [];
    private int[] _payload = [];
    private int _length;

    /// <summary>Rows that both ends keep for a device that takes so many sequences in a step: theirs of this step and of those before it.</summary>
    public static int SlotsFor(int maxSequences) => 2 * maxSequences;

    /// <returns>The payload; valid until the next call.</returns>
    public ReadOnlySpan<byte> Encode(StepPlan plan)
    {
        var most = HeaderWords + plan.TokenCount + plan.HiddenCount + 2L * plan.LogitCount + (long)plan.SequenceCount * (SequenceWords + plan.BlockTableWidth);
        if (_payload.Length < most) _payload = new int[Math.Max(checked((int)most), _payload.Length * 2)];
        _length = 0;
        Put([plan.TokenCount, plan.SequenceCount, plan.BlockTableWidth, plan.HiddenCount, plan.LogitCount]);
        for (var b = 0; b < plan.SequenceCount; b++) PutSequence(plan, b);
        Put(plan.TokenIds.AsSpan(0, plan.TokenCount));
        Put(plan.HiddenRows.AsSpan(0, plan.HiddenCount));
        Put(plan.LogitRows.AsSpan(0, plan.LogitCount));
        Put(MemoryMarshal.Cast<float, int>(plan.RowTemperatures.AsSpan(0, plan.LogitCount)));
        return MemoryMarshal.AsBytes(_payload.AsSpan(0, _length));
    }

    private void PutSequence(StepPlan plan, int b)
    {
        var tokens = plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
        var past = plan.PastLengths[b];
        var blocks = plan.BlockTable.AsSpan(b * plan.BlockTableWidth, plan.BlockTableWidth);
        if (blocks.IndexOf(-1) is var end and >= 0) blocks = blocks[..end];

        var slot = past > 0 && _slotOfBlock.TryGetValue(blocks[(past - 1) / blockTokens], out var found) ? found : FindOldest();
        var row = _rows[slot];
        var kept = row.Blocks.AsSpan(0, row.Count).CommonPrefixLength(blocks);
        Put([tokens, past, slot, kept, blocks.Length - kept]);
        Put(blocks[kept..]);

        if (_slotOfBlock.TryGetValue(row.LastWritten, out var holder) && holder == slot) _slotOfBlock.Remove(row.LastWritten);
        row.Replace(kept, blocks[kept..]);
        row.LastWritten = blocks[(past + tokens - 1) / blockTokens];
        row.LastStep = plan.Step;
        _slotOfBlock[row.LastWritten] = slot;
    }

    private int FindOldest()
    {
        var oldest = 0;
        for (var slot = 1; slot < slots; slot++)
        {
            if (_rows[slot].LastStep < _rows[oldest].LastStep) oldest = slot;
        }

        return oldest;
    }

    private void Put(ReadOnlySpan<int> words)
    {
        words.CopyTo(_payload.AsSpan(_length));
        _length += words.Length;
    }

    private sealed class Row
    {
        public int[] Blocks { get; private set; } = [];

        public int Count { get; private set; }

        public int LastWritten { get; set; } = -1;

        public long LastStep { get; set; } = -1;

        public void Replace(int kept, ReadOnlySpan<int> rest)
        {
            Count = kept + rest.Length;
            if (Blocks.Length < Count)
            {
                var grown = new int[Math.Max(Count, Blocks.Length * 2)];
                Blocks.AsSpan(0, kept).CopyTo(grown);
                Blocks = grown;
            }

            rest.CopyTo(Blocks.AsSpan(kept));
        }
    }
}

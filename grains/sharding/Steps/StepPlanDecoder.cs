using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>Reads what <see cref="StepPlanEncoder"/> wrote into reused plans.</summary>
/// <remarks>A plan decides which memory a device touches. So every count, id and row is checked against the device's bounds before a plan is given out.</remarks>
internal sealed class StepPlanDecoder
{
    private readonly ExecutorShape _shape;
    private readonly int _maxTokens;
    private readonly int _maxSequences;
    private readonly int _maxWidth;
    private readonly int[][] _rows;
    private readonly int[] _rowCounts;

    public StepPlanDecoder(ShardShape shape)
    {
        _shape = shape.Whole;
        _maxTokens = shape.MaxTokensPerStep;
        _maxSequences = shape.MaxSequencesPerStep;
        _maxWidth = (shape.Whole.ContextLength + shape.Whole.KvBlockTokens - 1) / shape.Whole.KvBlockTokens;
        _rows = new int[StepPlanEncoder.SlotsFor(shape.MaxSequencesPerStep)][];
        Array.Fill(_rows, []);
        _rowCounts = new int[_rows.Length];
        var words = StepPlanEncoder.HeaderWords + 2L * _maxTokens + 2L * shape.Whole.MaxLogitRows
            + (long)_maxSequences * (StepPlanEncoder.SequenceWords + _maxWidth);
        MaxBytes = (int)Math.Min(words * sizeof(int), int.MaxValue);
    }

    /// <summary>Longest payload of a valid plan.</summary>
    public int MaxBytes { get; }

    /// <param name="step">The frame's.</param>
    /// <param name="payload">Read entirely.</param>
    /// <param name="plan">Overwritten; unspecified after an error.</param>
    /// <exception cref="LinkException">The payload is no plan, or not one for this device. Names the field, its value and its bounds.</exception>
    public void Decode(long step, ReadOnlySpan<byte> payload, StepPlan plan)
    {
        if (payload.Length % sizeof(int) != 0 || payload.Length < StepPlanEncoder.HeaderWords * sizeof(int))
            throw Corrupt(step, $"has {payload.Length} bytes; it has at least {StepPlanEncoder.HeaderWords * sizeof(int)}, and whole words of {sizeof(int)}");

        var reader = new Reader(step, MemoryMarshal.Cast<byte, int>(payload));
        plan.Step = step;
        plan.TokenCount = reader.Take(nameof(plan.TokenCount), 1, _maxTokens);
        plan.SequenceCount = reader.Take(nameof(plan.SequenceCount), 1, Math.Min(_maxSequences, plan.TokenCount));
        plan.BlockTableWidth = reader.Take(nameof(plan.BlockTableWidth), 1, _maxWidth);
        plan.HiddenCount = reader.Take(nameof(plan.HiddenCount), 0, plan.TokenCount);
        plan.LogitCount = reader.Take(nameof(plan.LogitCount), 0, Math.Min(plan.HiddenCount, _shape.MaxLogitRows));
        Reserve(plan);

        plan.CumulativeSequenceLengths[0] = 0;
        for (var b = 0; b < plan.SequenceCount; b++) TakeSequence(ref reader, plan, b);
        if (plan.CumulativeSequenceLengths[plan.SequenceCount] != plan.TokenCount)
            throw Corrupt(step, $"has {plan.TokenCount} tokens, of which its sequences own {plan.CumulativeSequenceLengths[plan.SequenceCount]}");

        TakeAll(ref reader, nameof(plan.TokenIds), plan.TokenIds.AsSpan(0, plan.TokenCount), _shape.VocabularySize - 1);
        TakeAll(ref reader, nameof(plan.HiddenRows), plan.HiddenRows.AsSpan(0, plan.HiddenCount), plan.TokenCount - 1);
        TakeAll(ref reader, nameof(plan.LogitRows), plan.LogitRows.AsSpan(0, plan.LogitCount), plan.HiddenCount - 1);
        var wanted = MemoryMarshal.Cast<int, float>(reader.Take(plan.LogitCount));
        foreach (var temperature in wanted)
        {
            if (temperature != RowWants.Whole && !(temperature >= 0 && float.IsFinite(temperature)))
                throw Corrupt(step, $"wants a row at temperature {temperature}; it is {RowWants.Whole}, or at least 0");
        }

        wanted.CopyTo(plan.RowTemperatures);
        if (reader.Left != 0) throw Corrupt(step, $"has {reader.Left} words more than it says");
    }

    private void TakeSequence(ref Reader reader, StepPlan plan, int b)
    {
        var start = plan.CumulativeSequenceLengths[b];
        var tokens = reader.Take("tokens of a sequence", 1, plan.TokenCount - start);
        var past = reader.Take(nameof(plan.PastLengths), 0, _shape.ContextLength - tokens);
        var slot = reader.Take("slot", 0, _rows.Length - 1);
        var kept = reader.Take("kept blocks", 0, Math.Min(_rowCounts[slot], plan.BlockTableWidth));
        var least = (past + tokens + _shape.KvBlockTokens - 1) / _shape.KvBlockTokens - kept;
        var added = reader.Take("added blocks", Math.Max(0, least), plan.BlockTableWidth - kept);

        var count = kept + added;
        if (_rows[slot].Length < count) Array.Resize(ref _rows[slot], Math.Min(_maxWidth, Math.Max(count, _rows[slot].Length * 2)));
        TakeAll(ref reader, "block", _rows[slot].AsSpan(kept, added), _shape.KvBlockCount - 1);
        _rowCounts[slot] = count;

        plan.PastLengths[b] = past;
        plan.CumulativeSequenceLengths[b + 1] = start + tokens;
        var row = plan.BlockTable.AsSpan(b * plan.BlockTableWidth, plan.BlockTableWidth);
        _rows[slot].AsSpan(0, count).CopyTo(row);
        row[count..].Fill(-1);
    }

    private static void TakeAll(ref Reader reader, string field, Span<int> values, int most)
    {
        var words = reader.Take(values.Length);
        if (words.IndexOfAnyExceptInRange(0, most) is var bad and >= 0) throw Corrupt(reader.Step, $"{field} is {words[bad]}; its bounds are 0 and {most}");
        words.CopyTo(values);
    }

    private void Reserve(StepPlan plan)
    {
        if (plan.TokenIds.Length < plan.TokenCount) plan.TokenIds = new int[_maxTokens];
        if (plan.HiddenRows.Length < plan.HiddenCount) plan.HiddenRows = new int[_maxTokens];
        if (plan.LogitRows.Length < plan.LogitCount) plan.LogitRows = new int[_shape.MaxLogitRows];
        if (plan.RowTemperatures.Length < plan.LogitCount) plan.RowTemperatures = new float[_shape.MaxLogitRows];
        if (plan.PastLengths.Length < plan.SequenceCount) plan.PastLengths = new int[_maxSequences];
        if (plan.CumulativeSequenceLengths.Length <= plan.SequenceCount) plan.CumulativeSequenceLengths = new int[_maxSequences + 1];
        var entries = plan.SequenceCount * plan.BlockTableWidth;
        if (plan.BlockTable.Length < entries) plan.BlockTable = new int[Math.Max(entries, plan.BlockTable.Length * 2)];
    }

    private static LinkException Corrupt(long step, string what) => new(LinkFailure.Corrupt, $"The plan of step {step} {what}.");

    private ref struct Reader(long step, ReadOnlySpan<int> words)
    {
        private ReadOnlySpan<int> _words = words;

        public readonly long Step => step;

        public readonly int Left => _words.Length;

        public int Take(string field, int least, int most)
        {
            var value = Take(1)[0];
            if (value < least || value > most) throw Corrupt(step, $"{field} is {value}; its bounds are {least} and {most}");
            return value;
        }

        public ReadOnlySpan<int> Take(int count)
        {
            if (count > _words.Length) throw Corrupt(step, $"ends {count - _words.Length} words early");
            var taken = _words[..count];
            _words = _words[count..];
            return taken;
        }
    }
}

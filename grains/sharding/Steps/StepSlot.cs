using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What the ranks of the last stage computed of one step, put together: each rank's columns in their place. What did not come along is fetched when it is asked for.</summary>
/// <remarks>A rank's reader writes before the rank is counted as done, or while the engine waits for what it fetches; the engine reads after that.</remarks>
/// <param name="whole">Sizes of the replica.</param>
/// <param name="ranks">[T]: the slices of the last stage.</param>
/// <param name="fetch">Fills what a request to a rank asks for; blocks.</param>
internal sealed class StepSlot(ExecutorShape whole, ShardSlice[] ranks, StepSlot.Fetch fetch) : StepOutput
{
    private readonly bool[] _done = new bool[ranks.Length];
    private readonly RankRows[] _ranks = [.. ranks.Select(rank => new RankRows(rank.Vocabulary))];
    private readonly RowSummary[] _slices = new RowSummary[ranks.Length];
    private readonly RowSummary _merged = new();
    private float[] _wanted = [];
    private bool[] _hasRow = [];
    private float[] _hidden = [];
    private float[] _logits = [];
    private int _hiddenCount;
    private int _logitCount;
    private bool _hasHidden;

    /// <exception cref="StepFailedException">The rank is lost.</exception>
    internal delegate void Fetch(StepSlot slot, int rank, RowRequest request, Memory<float> target);

    public long Step { get; private set; } = -1;

    /// <summary>Ranks whose result has not come.</summary>
    public int Missing { get; private set; }

    public override Span<float> Hidden
    {
        get
        {
            if (!_hasHidden) fetch(this, 0, new(RowRequest.HiddenStates, 0, HiddenStates.Length), HiddenStates);
            _hasHidden = true;
            return HiddenStates.Span;
        }
    }

    private Memory<float> HiddenStates => _hidden.AsMemory(0, _hiddenCount * whole.HiddenSize);

    public override Span<float> Logits(int row)
    {
        var values = RowOf(row);
        if (!_hasRow[row]) FetchColumns(row, 0, whole.VocabularySize);
        _hasRow[row] = true;
        return values.Span;
    }

    public override ReadOnlySpan<float> Columns(int row, int first, int count)
    {
        var values = RowOf(row).Slice(first, count);
        if (!_hasRow[row]) FetchColumns(row, first, count);
        return values.Span;
    }

    public override RowSummary? Summary(int row)
    {
        RowOf(row);
        if (_wanted[row] == RowWants.Whole) return null;
        for (var rank = 0; rank < ranks.Length; rank++) _slices[rank] = _ranks[rank].Summaries[row];
        if (ranks.Length == 1) return _slices[0];
        _merged.Merge(_slices);
        return _merged;
    }

    /// <summary>Makes the slot a step's, before its plan is sent.</summary>
    public void Begin(StepPlan plan)
    {
        Step = plan.Step;
        Missing = ranks.Length;
        Array.Clear(_done);
        (_hiddenCount, _logitCount) = (plan.HiddenCount, plan.LogitCount);
        Reserve(ref _hidden, _hiddenCount * whole.HiddenSize);
        Reserve(ref _logits, checked(_logitCount * whole.VocabularySize));
        Reserve(ref _wanted, _logitCount);
        Reserve(ref _hasRow, _logitCount);
        plan.RowTemperatures.AsSpan(0, _logitCount).CopyTo(_wanted);
        for (var row = 0; row < _logitCount; row++) _hasRow[row] = _wanted[row] == RowWants.Whole;
        _hasHidden = CarriesHidden(rank: 0);
    }

    /// <summary>Whether a rank's result of this step is still to come.</summary>
    public bool Lacks(long step, int rank) => Step == step && Missing > 0 && !_done[rank];

    /// <summary>Counts a rank's result as come.</summary>
    public void Complete(int rank)
    {
        _done[rank] = true;
        Missing--;
    }

    /// <summary>Reads a rank's result, announced by a frame, to its places.</summary>
    /// <exception cref="LinkException">It is not what it should be, or the link is over.</exception>
    public void Read(ITensorLink link, FrameHeader frame, int rank)
    {
        var columns = ranks[rank].Vocabulary;
        var wanted = _wanted.AsSpan(0, _logitCount);
        var packed = wanted.ContainsAnyExcept(RowWants.Whole);
        var hiddenBytes = CarriesHidden(rank) ? HiddenStates.Length * sizeof(float) : 0;
        var mostBytes = hiddenBytes + _logitCount * (packed ? RowCodec.MostBytes(columns) : columns.Count * sizeof(float));
        var leastBytes = packed ? hiddenBytes : mostBytes;
        if (frame.Length < leastBytes || frame.Length > mostBytes)
            throw new LinkException(LinkFailure.Corrupt, $"The result of step {Step} has {frame.Length} bytes; its bounds are {leastBytes} and {mostBytes}.");

        if (hiddenBytes > 0) link.ReadPayload(MemoryMarshal.AsBytes(HiddenStates.Span));
        if (packed) _ranks[rank].Read(link, frame.Length - hiddenBytes, wanted, row => ColumnsOf(row, columns).Span);
        else ReadWhole(link, columns);
    }

    private void ReadWhole(ITensorLink link, Slice columns)
    {
        if (columns.Count == whole.VocabularySize)
        {
            link.ReadPayload(MemoryMarshal.AsBytes(_logits.AsSpan(0, _logitCount * columns.Count)));
            return;
        }

        for (var row = 0; row < _logitCount; row++) link.ReadPayload(MemoryMarshal.AsBytes(ColumnsOf(row, columns).Span));
    }

    private void FetchColumns(int row, int first, int count)
    {
        for (var rank = 0; rank < ranks.Length; rank++)
        {
            var columns = ranks[rank].Vocabulary;
            var from = Math.Max(first, columns.First);
            var to = Math.Min(first + count, columns.End);
            if (from < to) fetch(this, rank, new(row, from - columns.First, to - from), ColumnsOf(row, new(from, to - from)));
        }
    }

    private Memory<float> RowOf(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)_logitCount);
        return ColumnsOf(row, new(0, whole.VocabularySize));
    }

    private Memory<float> ColumnsOf(int row, Slice columns) => _logits.AsMemory(row * whole.VocabularySize + columns.First, columns.Count);

    private bool CarriesHidden(int rank) => StepResults.CarriesHidden(_hiddenCount, _logitCount, rank);

    private static void Reserve<T>(ref T[] memory, int length)
    {
        if (memory.Length < length) memory = GC.AllocateUninitializedArray<T>(length);
    }
}

using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Sampling;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What the ranks of the last stage computed of one step, put together: each rank's columns in their place. What did not come along is fetched when it is asked for, and with it what else is expected to be.</summary>
/// <remarks>A rank's reader writes before the rank is counted as done, or while the engine waits for what it fetches; the engine reads after that.</remarks>
/// <param name="whole">Sizes of the replica.</param>
/// <param name="ranks">[T]: the slices of the last stage.</param>
/// <param name="maxFrameBytes">Of the links to them.</param>
/// <param name="fetch">Has all <see cref="Fetches"/> answered; blocks, and throws <see cref="StepFailedException"/> when a rank is lost.</param>
internal sealed class StepSlot(ExecutorShape whole, ShardSlice[] ranks, int maxFrameBytes, Action<StepSlot> fetch) : StepOutput
{
    private readonly bool[] _done = [.. ranks.Select(_ => true)];
    private readonly RowFetch[] _fetches = [.. ranks.Select(_ => new RowFetch(maxFrameBytes))];
    private readonly RankRows[] _ranks = [.. ranks.Select(rank => new RankRows(rank.Vocabulary))];
    private readonly RowSummary[] _slices = new RowSummary[ranks.Length];
    private readonly RowSummary _merged = new();
    private float[] _wanted = [];
    private bool[] _hasRow = [];
    private Slice[] _announced = []; // By row: the columns that are at hand after the next fetch, where not all are.
    private float[] _hidden = [];
    private float[] _logits = [];
    private int _hiddenCount;
    private int _logitCount;
    private bool _hasHidden;

    public long Step { get; private set; } = -1;

    /// <summary>Whether all ranks' results have come, and their answers to what was fetched.</summary>
    public bool IsAnswered
    {
        get
        {
            for (var rank = 0; rank < ranks.Length; rank++)
            {
                if (!HasAnswered(rank)) return false;
            }

            return true;
        }
    }

    /// <summary>[T]: what each rank is asked for.</summary>
    public ReadOnlySpan<RowFetch> Fetches => _fetches;

    public override Span<float> Hidden
    {
        get
        {
            if (!_hasHidden)
            {
                _fetches[0].Add(new(RowRequest.HiddenStates, 0, HiddenStates.Length), HiddenStates);
                FetchAll();
            }

            _hasHidden = true;
            return HiddenStates.Span;
        }
    }

    private Memory<float> HiddenStates => _hidden.AsMemory(0, _hiddenCount * whole.HiddenSize);

    public override Span<float> Logits(int row)
    {
        var values = RowOf(row);
        if (!_hasRow[row])
        {
            Announce(row, new(0, whole.VocabularySize));
            FetchAll();
        }

        _hasRow[row] = true;
        return values.Span;
    }

    public override void Expect(int row, int first, int count)
    {
        _ = RowOf(row).Slice(first, count);
        // A second announcement of a row is not heeded: so there are no more of them than rows.
        if (!_hasRow[row] && _announced[row].Count == 0) Announce(row, new(first, count));
    }

    public override ReadOnlySpan<float> Columns(int row, int first, int count)
    {
        var values = RowOf(row).Slice(first, count);
        if (!_hasRow[row])
        {
            if (first < _announced[row].First || first + count > _announced[row].End) Announce(row, new(first, count));
            FetchAll();
        }

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
        Array.Clear(_done);
        foreach (var ranksFetch in _fetches) ranksFetch.Clear();
        (_hiddenCount, _logitCount) = (plan.HiddenCount, plan.LogitCount);
        Reserve(ref _hidden, _hiddenCount * whole.HiddenSize);
        Reserve(ref _logits, checked(_logitCount * whole.VocabularySize));
        Reserve(ref _wanted, _logitCount);
        Reserve(ref _hasRow, _logitCount);
        Reserve(ref _announced, _logitCount);
        Array.Clear(_announced, 0, _logitCount);
        plan.RowTemperatures.AsSpan(0, _logitCount).CopyTo(_wanted);
        for (var row = 0; row < _logitCount; row++) _hasRow[row] = _wanted[row] == RowWants.Whole;
        _hasHidden = CarriesHidden(rank: 0);
    }

    public bool HasAnswered(int rank) => _done[rank] && _fetches[rank].IsAnswered;

    /// <summary>Whether a rank's result of this step is still to come.</summary>
    public bool Lacks(long step, int rank) => Step == step && !_done[rank];

    /// <summary>Counts a rank's result as come.</summary>
    public void Complete(int rank) => _done[rank] = true;

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

    private void Announce(int row, Slice wanted)
    {
        _announced[row] = wanted;
        for (var rank = 0; rank < ranks.Length; rank++)
        {
            var columns = ranks[rank].Vocabulary;
            var from = Math.Max(wanted.First, columns.First);
            var to = Math.Min(wanted.End, columns.End);
            if (from < to) _fetches[rank].Add(new(row, from - columns.First, to - from), ColumnsOf(row, new(from, to - from)));
        }
    }

    private void FetchAll()
    {
        if (IsAnswered) return; // By an earlier fetch.
        fetch(this);
        foreach (var answered in _fetches) answered.Clear();
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

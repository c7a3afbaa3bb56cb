using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What the ranks of the last stage computed of one step, put together: each rank's columns in their place. What did not come along is fetched when it is asked for.</summary>
/// <remarks>A rank's reader writes before the rank is counted as done, or while the engine waits for what it fetches; the engine reads after that.</remarks>
/// <param name="whole">Sizes of the replica.</param>
/// <param name="ranks">[T]: the slices of the last stage.</param>
/// <param name="fetch">Fills what a request to a rank asks for; blocks.</param>
internal sealed class StepSlot(ExecutorShape whole, ShardSlice[] ranks, StepSlot.Fetch fetch) : StepOutput
{
    private float[] _hidden = [];
    private float[] _logits = [];
    private int _hiddenCount;
    private int _logitCount;
    private bool _hasHidden;
    private readonly bool[] _done = new bool[ranks.Length];

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
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)_logitCount);
        return _logits.AsSpan(row * whole.VocabularySize, whole.VocabularySize);
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
        _hasHidden = StepResults.CarriesHidden(_hiddenCount, _logitCount, rank: 0);
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
    /// <exception cref="LinkException">It is not as long as it should be, or the link is over.</exception>
    public void Read(ITensorLink link, FrameHeader frame, int rank)
    {
        var hidden = CarriesHidden(rank) ? HiddenStates.Length : 0;
        var columns = ranks[rank].Vocabulary;
        var expected = sizeof(float) * (hidden + _logitCount * columns.Count);
        if (frame.Length != expected)
            throw new LinkException(LinkFailure.Corrupt, $"The result of step {Step} has {frame.Length} bytes; {expected} were expected.");

        if (hidden > 0) link.ReadPayload(MemoryMarshal.AsBytes(HiddenStates.Span));
        if (columns.Count == whole.VocabularySize && _logitCount > 0)
        {
            link.ReadPayload(MemoryMarshal.AsBytes(_logits.AsSpan(0, _logitCount * columns.Count)));
            return;
        }

        for (var row = 0; row < _logitCount; row++)
            link.ReadPayload(MemoryMarshal.AsBytes(_logits.AsSpan(row * whole.VocabularySize + columns.First, columns.Count)));
    }

    private bool CarriesHidden(int rank) => StepResults.CarriesHidden(_hiddenCount, _logitCount, rank);

    private static void Reserve(ref float[] memory, int length)
    {
        if (memory.Length < length) memory = GC.AllocateUninitializedArray<float>(length);
    }
}

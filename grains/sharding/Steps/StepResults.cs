using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>What a shard of the last stage tells the engine of a step: at once what the plan wants, and later what the engine asks for.</summary>
/// <remarks>
/// A result carries the hidden states if more of them are wanted than rows of logits, from rank 0 alone, and this rank's columns of each row
/// of logits, or a summary of them. What it does not carry is kept until as many steps have come as can be under way: until then the engine
/// may ask for it, also while a later step runs.
/// </remarks>
/// <param name="executor">Of the last stage.</param>
/// <param name="window">Steps that may be under way.</param>
internal sealed class StepResults(IShardExecutor executor, int window)
{
    private readonly object _gate = new();
    private readonly KeptStep[] _kept = [.. Enumerable.Range(0, window).Select(_ => new KeptStep())];
    private readonly int _columns = executor.Shape.Slice.Vocabulary.Count;
    private RowPacker? _packer;
    private float[] _answer = [];
    private long _sent;

    /// <summary>Whether the hidden states of a step go along with its result; both ends must agree.</summary>
    public static bool CarriesHidden(int hiddenCount, int logitCount, int rank) => rank == 0 && hiddenCount > logitCount;

    /// <summary>Sends the result of the step that ran last. Called by the shard's thread.</summary>
    /// <exception cref="LinkException">The link is over.</exception>
    public void Send(ITensorLink control, StepPlan plan)
    {
        var slice = executor.Shape.Slice;
        var hidden = executor.Hidden;
        var logits = executor.Logits;
        var wanted = plan.RowTemperatures.AsSpan(0, plan.LogitCount);
        var packed = wanted.ContainsAnyExcept(RowWants.Whole);
        var rows = packed ? (_packer ??= new(slice.Vocabulary)).Pack(logits, wanted) : MemoryMarshal.AsBytes(logits);
        var carriesHidden = CarriesHidden(plan.HiddenCount, plan.LogitCount, slice.Place.Rank);
        lock (_gate)
        {
            var first = carriesHidden ? MemoryMarshal.AsBytes(hidden) : [];
            control.Send(FrameKind.Result, plan.Step, first, rows);
            _kept[_sent++ % window].Keep(plan.Step, carriesHidden || slice.Place.Rank > 0 ? [] : hidden, packed ? logits : []);
        }
    }

    /// <summary>Answers a frame of the engine's by one. Called by the thread that reads its frames.</summary>
    /// <param name="requests">One <see cref="RowRequest"/> or more.</param>
    /// <exception cref="LinkException">The link is over, or what is asked for is not there or too much.</exception>
    public void Answer(ITensorLink control, long step, ReadOnlySpan<byte> requests)
    {
        lock (_gate)
        {
            var columns = 0;
            for (; requests.Length > 0; requests = requests[RowRequest.Bytes..])
            {
                var values = Find(step, RowRequest.Read(requests));
                if (values.Length > RowRequest.MaxColumns - columns)
                    throw new LinkException(LinkFailure.Corrupt, $"The engine asks for {columns + values.Length} columns of step {step} in one frame, at most {RowRequest.MaxColumns}.");
                if (_answer.Length < columns + values.Length) Array.Resize(ref _answer, Math.Min(RowRequest.MaxColumns, 2 * (columns + values.Length)));
                values.CopyTo(_answer.AsSpan(columns));
                columns += values.Length;
            }

            control.Send(FrameKind.Rows, step, MemoryMarshal.AsBytes(_answer.AsSpan(0, columns)));
        }
    }

    /// <summary>Sends why the shard's life is over, if the link still lets it.</summary>
    public void SendFailure(ITensorLink control, long step, ReadOnlySpan<byte> reason)
    {
        lock (_gate) control.Send(FrameKind.Failure, step, reason);
    }

    private ReadOnlySpan<float> Find(long step, RowRequest request)
    {
        var kept = Array.Find(_kept, one => one.Step == step)
            ?? throw Corrupt(step, "which is not kept", request);
        var values = request.Row == RowRequest.HiddenStates ? kept.Hidden : RowOf(kept, step, request);
        if (request.First < 0 || request.Count < 1 || request.First > values.Length - request.Count)
            throw Corrupt(step, $"where {values.Length} are kept", request);
        return values.Slice(request.First, request.Count);
    }

    private ReadOnlySpan<float> RowOf(KeptStep kept, long step, RowRequest request)
    {
        var rows = kept.Logits.Length / _columns;
        if ((uint)request.Row >= (uint)rows) throw Corrupt(step, $"where {rows} rows are kept", request);
        return kept.Logits.Slice(request.Row * _columns, _columns);
    }

    private static LinkException Corrupt(long step, string what, RowRequest request) =>
        new(LinkFailure.Corrupt, $"The engine asks for {request.Count} columns from {request.First} of row {request.Row} of step {step}, {what}.");

    private sealed class KeptStep
    {
        private float[] _hidden = [];
        private float[] _logits = [];
        private int _hiddenLength;
        private int _logitsLength;

        public long Step { get; private set; } = -1;

        public ReadOnlySpan<float> Hidden => _hidden.AsSpan(0, _hiddenLength);

        public ReadOnlySpan<float> Logits => _logits.AsSpan(0, _logitsLength);

        public void Keep(long step, ReadOnlySpan<float> hidden, ReadOnlySpan<float> logits)
        {
            Step = step;
            Keep(hidden, ref _hidden, out _hiddenLength);
            Keep(logits, ref _logits, out _logitsLength);
        }

        private static void Keep(ReadOnlySpan<float> values, ref float[] memory, out int length)
        {
            length = values.Length;
            if (memory.Length < length) memory = GC.AllocateUninitializedArray<float>(length);
            values.CopyTo(memory);
        }
    }
}

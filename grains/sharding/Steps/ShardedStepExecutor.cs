using System.Runtime.InteropServices;
using System.Text;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>Runs an engine's steps on all shards of a replica: plans go out to every shard, results come back from the ranks of the last stage.</summary>
/// <remarks>
/// As many steps are under way as there are stages. A thread for each shard reads what it sends, into memory kept for as many steps, so the
/// loss of a shard is seen at once, also while no step runs. The first loss ends everything: the waiting call and every later one throw it.
/// </remarks>
public sealed class ShardedStepExecutor : IStepExecutor
{
    private const int ReaderStackBytes = 256 << 10;
    private const int MaxReasonBytes = 4096;

    private readonly ShardSlice[] _slices;
    private readonly ITensorLink[] _controls;
    private readonly StepPlanEncoder _encoder;
    private readonly StepSlot[] _slots;
    private readonly Thread[] _readers;
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly object _gate = new();
    private readonly int _firstOfLastStage;
    private readonly byte[] _request = new byte[RowRequest.Bytes];
    private long _begun;
    private long _ended;
    private PendingRows? _pending;
    private StepFailedException? _failure;

    /// <param name="leader">What the shards offer; all the same but for their slices.</param>
    /// <param name="slices">[P × T], stage by stage, in each by rank.</param>
    /// <param name="controls">The links to them, in the same order; owned from now on.</param>
    public ShardedStepExecutor(ShardShape leader, IReadOnlyList<ShardSlice> slices, IReadOnlyList<ITensorLink> controls)
    {
        _slices = [.. slices];
        _controls = [.. controls];
        var stages = _slices[0].Stages;
        var ranks = _slices[0].Ranks;
        if (_slices.Length != stages * ranks || _controls.Length != _slices.Length)
            throw new ArgumentException($"{stages} stages of {ranks} ranks need as many slices and links; there are {_slices.Length} and {_controls.Length}.", nameof(slices));

        _firstOfLastStage = _slices.Length - ranks;
        var window = StepWindow.Of(stages);
        Shape = leader.Whole with { StepsInFlight = window, Summaries = true };
        _encoder = new(Shape.KvBlockTokens, StepPlanEncoder.SlotsFor(leader.MaxSequencesPerStep));
        _slots = [.. Enumerable.Range(0, window).Select(_ => new StepSlot(Shape, _slices[_firstOfLastStage..], Fetch))];
        _readers = [.. _slices.Select((slice, i) => new Thread(() => Read(i), ReaderStackBytes) { IsBackground = true, Name = $"Granary results of {slice.Place}" })];
        foreach (var reader in _readers) reader.Start();
    }

    public ExecutorShape Shape { get; }

    /// <summary>Faults with <see cref="StepFailedException"/> when a shard is lost.</summary>
    public Task Lost => _lost.Task;

    /// <summary>To the shards, in the order of their slices.</summary>
    public IReadOnlyList<ITensorLink> Links => _controls;

    internal IReadOnlyList<Thread> Readers => _readers;

    public void Begin(StepPlan plan)
    {
        StepSlot slot;
        lock (_gate)
        {
            ThrowIfLost();
            if (_begun - _ended == _slots.Length) throw new InvalidOperationException($"{_slots.Length} steps are under way, the most that may be.");
            slot = _slots[_begun % _slots.Length];
            slot.Begin(plan);
            _begun++;
        }

        var payload = _encoder.Encode(plan);
        for (var i = 0; i < _controls.Length; i++)
        {
            try
            {
                _controls[i].Send(FrameKind.Plan, plan.Step, payload);
            }
            catch (LinkException error)
            {
                _readers[i].Join(); // It ends with its link, and may have read why.
                Lose(i, error.Message, error);
                lock (_gate) ThrowIfLost();
            }
        }
    }

    public StepOutput End()
    {
        lock (_gate)
        {
            if (_begun == _ended) throw new InvalidOperationException("No step is under way.");
            var slot = _slots[_ended % _slots.Length];
            while (slot.Missing > 0 && _failure is null) Monitor.Wait(_gate);
            ThrowIfLost();
            _ended++;
            return slot;
        }
    }

    /// <summary>Ends the shards' lives, and waits until nothing is read any more.</summary>
    public void Dispose()
    {
        lock (_gate) _failure ??= new("The executor was disposed.");
        foreach (var control in _controls) control.Abort("The engine has ended.");
        foreach (var reader in _readers) reader.Join();
        foreach (var control in _controls) control.Dispose();
    }

    private void ThrowIfLost()
    {
        if (_failure is not null) throw new StepFailedException(_failure.Message, _failure.InnerException);
    }

    private void Fetch(StepSlot slot, int rank, RowRequest request, Memory<float> target)
    {
        var i = _firstOfLastStage + rank;
        lock (_gate)
        {
            ThrowIfLost();
            _pending = new(i, slot.Step, target);
        }

        request.Write(_request);
        try
        {
            _controls[i].Send(FrameKind.RowsWanted, slot.Step, _request);
        }
        catch (LinkException error)
        {
            _readers[i].Join();
            Lose(i, error.Message, error);
        }

        lock (_gate)
        {
            while (_pending is not null && _failure is null) Monitor.Wait(_gate);
            ThrowIfLost();
        }
    }

    private void Read(int i)
    {
        try
        {
            while (true)
            {
                var frame = _controls[i].Receive();
                switch (frame.Kind)
                {
                    case FrameKind.Result when i >= _firstOfLastStage:
                        ReadResult(i, frame);
                        break;
                    case FrameKind.Rows:
                        ReadRows(i, frame);
                        break;
                    case FrameKind.Failure when frame.Length <= MaxReasonBytes:
                        var reason = new byte[frame.Length];
                        _controls[i].ReadPayload(reason);
                        Lose(i, Encoding.UTF8.GetString(reason));
                        return;
                    default:
                        throw new LinkException(LinkFailure.Corrupt, $"It sent {frame.Kind} of {frame.Length} bytes, which the engine does not expect.");
                }
            }
        }
        catch (Exception error)
        {
            Lose(i, error.Message, error);
        }
    }

    private void ReadResult(int i, FrameHeader frame)
    {
        var rank = i - _firstOfLastStage;
        StepSlot? slot;
        lock (_gate) slot = Array.Find(_slots, one => one.Lacks(frame.Step, rank));
        if (slot is null) throw new LinkException(LinkFailure.Corrupt, $"It sent a result of step {frame.Step}, which is not under way.");
        slot.Read(_controls[i], frame, rank);
        lock (_gate)
        {
            slot.Complete(rank);
            if (slot.Missing == 0) Monitor.PulseAll(_gate);
        }
    }

    private void ReadRows(int i, FrameHeader frame)
    {
        PendingRows? pending;
        lock (_gate) pending = _pending;
        if (pending is null || pending.Shard != i || pending.Step != frame.Step || pending.Target.Length * sizeof(float) != frame.Length)
            throw new LinkException(LinkFailure.Corrupt, $"It sent {frame.Length} bytes of rows of step {frame.Step}, which nobody asked for.");
        _controls[i].ReadPayload(MemoryMarshal.AsBytes(pending.Target.Span));
        lock (_gate)
        {
            _pending = null;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Ends everything, once: what is lost first is the reason. Any thread may call it.</summary>
    private void Lose(int i, string reason, Exception? error = null)
    {
        lock (_gate)
        {
            if (_failure is not null) return;
            var when = _begun > _ended ? $"in step {_slots[_ended % _slots.Length].Step}" : "while no step ran";
            _failure = new($"Shard {_slices[i].Place} was lost {when}: {reason}", error);
            Monitor.PulseAll(_gate);
        }

        _lost.TrySetException(_failure);
        _ = _lost.Task.Exception; // Observed: nobody has to wait for it.
        foreach (var control in _controls) control.Abort(_failure.Message);
    }

    private sealed record PendingRows(int Shard, long Step, Memory<float> Target);
}

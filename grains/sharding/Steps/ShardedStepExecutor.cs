using System.Text;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;

namespace Granary.Sharding.Steps;

/// <summary>Runs an engine's steps on all shards of a replica: plans go out to every shard, results come back from the ranks of the last stage.</summary>
/// <remarks>
/// As many steps are under way as there are stages. A thread for each shard reads what it sends, into memory kept for as many steps, so the
/// loss of a shard is seen at once, also while no step runs. A shard that lives but does not answer is lost after the step limit.
/// The first loss ends everything: the waiting call and every later one throw it.
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
    private readonly TimeSpan _stepLimit;
    private readonly TimeProvider _time;
    private readonly ITimer _limitCheck;
    private long _begun;
    private long _ended;
    private StepSlot? _awaited; // Whose answers the engine waits for,
    private long _awaitedSince; // and since when.
    private bool _checksLimit; // Whether the timer runs: seldom set and never stopped, as steps are many and short.
    private StepFailedException? _failure;

    /// <param name="leader">What the shards offer; all the same but for their slices.</param>
    /// <param name="slices">[P × T], stage by stage, in each by rank.</param>
    /// <param name="controls">The links to them, in the same order; owned from now on.</param>
    /// <param name="stepLimit">Longest wait for a step that is asked for, or for rows of it.</param>
    /// <param name="time">What the limit is measured by.</param>
    public ShardedStepExecutor(ShardShape leader, IReadOnlyList<ShardSlice> slices, IReadOnlyList<ITensorLink> controls, TimeSpan stepLimit, TimeProvider time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(stepLimit, TimeSpan.Zero);
        _slices = [.. slices];
        _controls = [.. controls];
        var stages = _slices[0].Stages;
        var ranks = _slices[0].Ranks;
        if (_slices.Length != stages * ranks || _controls.Length != _slices.Length)
            throw new ArgumentException($"{stages} stages of {ranks} ranks need as many slices and links; there are {_slices.Length} and {_controls.Length}.", nameof(slices));

        _stepLimit = stepLimit;
        _time = time;
        _limitCheck = time.CreateTimer(_ => CheckLimit(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _firstOfLastStage = _slices.Length - ranks;
        var window = StepWindow.Of(stages);
        Shape = leader.Whole with { StepsInFlight = window, Summaries = true };
        _encoder = new(Shape.KvBlockTokens, StepPlanEncoder.SlotsFor(leader.MaxSequencesPerStep));
        _slots = [.. Enumerable.Range(0, window).Select(_ => new StepSlot(Shape, _slices[_firstOfLastStage..], _controls.Min(link => link.MaxFrameBytes), Fetch))];
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
        for (var i = 0; i < _controls.Length; i++) Send(i, FrameKind.Plan, plan.Step, payload);
    }

    public StepOutput End()
    {
        lock (_gate)
        {
            if (_begun == _ended) throw new InvalidOperationException("No step is under way.");
            var slot = _slots[_ended % _slots.Length];
            Await(slot);
            WaitForAnswers();
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
        _limitCheck.Dispose();
    }

    private void ThrowIfLost()
    {
        if (_failure is not null) throw new StepFailedException(_failure.Message, _failure.InnerException);
    }

    /// <summary>One round trip, as far as frames can hold it: all is asked for before any answer is awaited.</summary>
    private void Fetch(StepSlot slot)
    {
        lock (_gate)
        {
            ThrowIfLost();
            Await(slot);
        }

        for (var i = _firstOfLastStage; i < _controls.Length; i++)
        {
            var fetch = slot.Fetches[i - _firstOfLastStage];
            while (fetch.TryNext(out var requests)) Send(i, FrameKind.RowsWanted, slot.Step, requests);
        }

        lock (_gate) WaitForAnswers();
    }

    /// <summary>Sends to a shard; when that fails all is lost.</summary>
    private void Send(int i, FrameKind kind, long step, ReadOnlySpan<byte> payload)
    {
        try
        {
            _controls[i].Send(kind, step, payload);
        }
        catch (LinkException error)
        {
            _readers[i].Join(); // It ends with its link, and may have read why.
            Lose(i, error.Message, error);
            lock (_gate) ThrowIfLost();
        }
    }

    private void Await(StepSlot slot)
    {
        (_awaited, _awaitedSince) = (slot, _time.GetTimestamp());
        if (_checksLimit || slot.IsAnswered) return;
        _checksLimit = true;
        _limitCheck.Change(_stepLimit, Timeout.InfiniteTimeSpan);
    }

    private void WaitForAnswers()
    {
        while (!_awaited!.IsAnswered && _failure is null) Monitor.Wait(_gate);
        _awaited = null;
        ThrowIfLost();
    }

    private void CheckLimit()
    {
        StepFailedException late;
        lock (_gate)
        {
            _checksLimit = false;
            if (_awaited is not { IsAnswered: false } slot || _failure is not null) return;
            if (_stepLimit - _time.GetElapsedTime(_awaitedSince) is var left && left > TimeSpan.Zero)
            {
                _checksLimit = true;
                _limitCheck.Change(left, Timeout.InfiniteTimeSpan);
                return;
            }

            var shards = _slices[_firstOfLastStage..].Where(slice => !slot.HasAnswered(slice.Place.Rank)).Select(slice => slice.Place);
            late = new($"Step {slot.Step} was lost: of the last stage, shards {string.Join(", ", shards)} have not answered within {_stepLimit.TotalSeconds:0.###} s.");
        }

        Lose(late);
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
                    case FrameKind.Rows when i >= _firstOfLastStage:
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
            if (slot.IsAnswered) Monitor.PulseAll(_gate);
        }
    }

    private void ReadRows(int i, FrameHeader frame)
    {
        StepSlot? slot;
        lock (_gate) slot = _awaited;
        var fetch = slot?.Fetches[i - _firstOfLastStage];
        if (fetch is null || slot!.Step != frame.Step || fetch.IsAnswered || fetch.AnswerBytes != frame.Length)
            throw new LinkException(LinkFailure.Corrupt, $"It sent {frame.Length} bytes of rows of step {frame.Step}, which nobody asked for.");
        fetch.Read(_controls[i]);
        lock (_gate)
        {
            fetch.Complete();
            if (slot.IsAnswered) Monitor.PulseAll(_gate);
        }
    }

    private void Lose(int i, string reason, Exception? error = null)
    {
        string when;
        lock (_gate) when = _begun > _ended ? $"in step {_slots[_ended % _slots.Length].Step}" : "while no step ran";
        Lose(new($"Shard {_slices[i].Place} was lost {when}: {reason}", error));
    }

    /// <summary>Ends everything, once: what is lost first is the reason. Any thread may call it.</summary>
    private void Lose(StepFailedException failure)
    {
        lock (_gate)
        {
            if (_failure is not null) return;
            _failure = failure;
            Monitor.PulseAll(_gate);
        }

        _lost.TrySetException(failure);
        _ = _lost.Task.Exception; // Observed: nobody has to wait for it.
        foreach (var control in _controls) control.Abort(failure.Message);
    }
}

using Granary.Engine.Execution;
using Granary.Engine.Kv;
using Granary.Engine.Kv.Tiers;
using Granary.Engine.Sampling;
using Granary.Engine.Scheduling;

namespace Granary.Engine;

/// <summary>Continuous batching on one replica: its own thread admits, schedules, executes and samples, step by step.</summary>
/// <remarks>
/// Scheduler, sampler and plans belong to the thread alone. Callers reach it through <see cref="CommandQueue"/>, readers get tokens
/// through <see cref="SequenceHandle"/>. A real thread, because a step blocks; with nothing to do it sleeps until a command comes.
/// It keeps as many steps in flight as the executor takes, and ends them in the order in which they began.
/// A step's blocks are free and the load is published before its tokens can be read.
/// </remarks>
public sealed class InferenceEngine : IInferenceEngine
{
    /// <summary>Deadlines further away than a timer can reach are not watched.</summary>
    private static readonly TimeSpan FarthestDeadline = TimeSpan.FromMilliseconds(int.MaxValue);

    private static readonly TimeSpan LongestLease = TimeSpan.FromDays(1);

    private readonly EngineOptions _options;
    private readonly IStepExecutor _executor;
    private readonly TimeProvider _time;
    private readonly CommandQueue _commands = new();
    private readonly KvEventLog _kvEvents = new();
    private readonly Scheduler _scheduler;
    private readonly LeaseClock _leases;
    private readonly TierCounters _tierCounters = new();
    private readonly HostTier? _host;
    private readonly DiskTier? _disk;
    private readonly Sampler _sampler;
    private readonly Queue<ScheduledStep> _inFlight = new(); // The oldest first.
    private ScheduledStep? _ending; // The step whose results are being waited for or read.
    private readonly StepTimes _stepTimes = new();
    private readonly SampledToken[] _sampled;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly object _loadGate = new();
    private LoadValues _load;
    private long _steps; // That have ended.
    private long _lastEnd;
    private int _queued;

    private InferenceEngine(EngineOptions options, IStepExecutor executor, TimeProvider time, IKvSlots? disk)
    {
        _options = options;
        _executor = executor;
        _time = time;
        var shape = executor.Shape;
        var poolTokens = (long)shape.KvBlockCount * shape.KvBlockTokens;
        var context = (int)Math.Min(shape.ContextLength, poolTokens);
        Info = new(shape.VocabularySize, shape.HiddenSize, context, shape.KvBlockCount, shape.KvBlockTokens, options.MaxQueuedSequences);
        _scheduler = new(shape, options, new(shape.KvBlockCount, shape.KvBlockTokens, options.PrefixCaching, events: _kvEvents));
        if (options.PrefixCaching && executor.BlockStore is { } blocks && options.HostCacheBytes >= blocks.BlockBytes)
        {
            _host = new(options.HostCacheBytes, shape.KvBlockTokens, blocks, _tierCounters, _kvEvents);
            if (disk is not null) _disk = new(disk, shape.KvBlockTokens, blocks.BlockBytes, _host, _tierCounters, _kvEvents, _commands.Wake);
            _scheduler.Cache.KeepCopies(_host, _disk);
        }
        else
        {
            disk?.Dispose();
        }

        _leases = new(time, _commands.Wake);
        _sampler = new(shape.VocabularySize);
        _sampled = new SampledToken[options.MaxRunningSequences];
        Thread = new(Run) { IsBackground = true, Name = "Granary engine" };
    }

    public EngineInfo Info { get; }

    public Task Completion => _completion.Task;

    public EngineLoad Load
    {
        get
        {
            LoadValues values;
            lock (_loadGate) values = _load;
            return values.ToLoad(Info.KvBlockCount, values.OldestStepBegan is { } began ? _time.GetElapsedTime(began) : TimeSpan.Zero);
        }
    }

    internal Thread Thread { get; }

    internal HostTier? Host => _host;

    /// <summary>Starts an engine. It owns the executor from then on, and disposes it on its thread when it ends.</summary>
    /// <param name="time">Measures steps and watches deadlines; the system's by default.</param>
    /// <exception cref="ArgumentOutOfRangeException">An option is outside its bounds.</exception>
    /// <param name="disk">The engine's from then on: for copies of cached blocks that the host has no more room for. Used only together with <see cref="EngineOptions.HostCacheBytes"/>.</param>
    public static InferenceEngine Start(EngineOptions options, IStepExecutor executor, TimeProvider? time = null, IKvSlots? disk = null)
    {
        options.Validate();
        var engine = new InferenceEngine(options, executor, time ?? TimeProvider.System, disk);
        engine.Thread.Start();
        return engine;
    }

    public ISequenceHandle? TrySubmit(EngineRequest request, out Refusal? refusal)
    {
        refusal = RequestValidator.Check(request, Info) ?? ReservePlace();
        if (refusal is not null) return null;

        var prompt = request.PromptTokenIds.Length - request.ReplayedTokens;
        var handle = new SequenceHandle(_options.MaxBufferedTokens);
        var sequence = new Sequence(request, Math.Min(request.Sampling.MaxTokens, Info.ContextLength - prompt), handle);
        handle.Connect(
            resume: () => _commands.TryPost(new(CommandKind.Resume, sequence)),
            cancel: () => _commands.TryPost(new(CommandKind.Cancel, sequence)),
            WatchDeadline(sequence));
        if (_commands.TryPost(new(CommandKind.Submit, sequence))) return handle;

        handle.Release();
        Interlocked.Decrement(ref _queued);
        refusal = new(RefusalReason.Stopped, null, "The engine has ended.");
        return null;
    }

    public KvEventBatch ReadKvEvents(long from) => _kvEvents.Read(from);

    public Task<int> PinAsync(string owner, int[] tokenIds, string? salt, TimeSpan lease)
    {
        if (lease <= TimeSpan.Zero || lease > LongestLease)
            throw new ArgumentOutOfRangeException(nameof(lease), lease, $"lease is {lease}; it must be above 0 and at most {LongestLease}.");
        var pin = new PinCommand(owner, tokenIds, salt, lease, new(TaskCreationOptions.RunContinuationsAsynchronously));
        if (!_commands.TryPost(new(CommandKind.Pin, pin))) pin.Done.SetResult(0);
        return pin.Done.Task;
    }

    public void Unpin(string owner) =>
        _commands.TryPost(new(CommandKind.Pin, new PinCommand(owner, null, null, default, new(TaskCreationOptions.RunContinuationsAsynchronously))));

    /// <summary>Stops at the end of the steps in flight; what still runs fails with <see cref="StepFailedException"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        _commands.Close();
        await Completion.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private Refusal? ReservePlace()
    {
        if (Interlocked.Increment(ref _queued) <= _options.MaxQueuedSequences) return null;
        Interlocked.Decrement(ref _queued);
        return new(RefusalReason.Saturated, null, $"{_options.MaxQueuedSequences} sequences wait already, the most that may.");
    }

    private ITimer? WatchDeadline(Sequence sequence)
    {
        if (sequence.Deadline is not { } deadline) return null;
        var left = deadline - _time.GetUtcNow();
        if (left > FarthestDeadline) return null;
        return _time.CreateTimer(
            _ => _commands.TryPost(new(CommandKind.Expire, sequence)), null, left > TimeSpan.Zero ? left : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    private void Run()
    {
        StepFailedException? failure = null;
        try
        {
            _executor.Lost?.ContinueWith(_ => _commands.Wake(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            while (ApplyCommands())
            {
                ThrowIfLost();
                BeginSteps();
                if (_inFlight.Count > 0)
                {
                    EndStep();
                }
                else
                {
                    HandOut();
                    _commands.Wait();
                }
            }

            while (_inFlight.Count > 0) EndStep();
            HandOut();
        }
        catch (Exception error) // Whatever it is, the cache's content is unknown: this life is over, and everybody is told.
        {
            failure = error as StepFailedException ?? new StepFailedException("The engine's thread failed.", error);
        }

        End(failure, failure is null ? [] : SuspectsOfFailure());
    }

    /// <summary>Gives the device as many steps as it takes and sequences can make.</summary>
    private void BeginSteps()
    {
        while (_inFlight.Count < _executor.Shape.StepsInFlight && _scheduler.Schedule() is { } step)
        {
            step.BehindPrompts = false;
            foreach (var ahead in _inFlight) step.BehindPrompts |= StepTimes.HasPrompts(ahead.Plan);
            step.Began = _time.GetTimestamp();
            step.ExpectedSeconds = _stepTimes.Expect(step.Plan);
            _inFlight.Enqueue(step);
            PublishLoad();
            _executor.Begin(step.Plan);
        }
    }

    /// <summary>Waits for the oldest step in flight, and hands out what came of it.</summary>
    private void EndStep()
    {
        var step = _ending = _inFlight.Peek();
        var output = _executor.End();
        ReadPrompts(step, output);
        var sampled = Sample(step, output);
        _inFlight.Dequeue();
        _ending = null;
        _steps = step.Plan.Step;
        _scheduler.Complete(step, sampled);

        var now = _time.GetTimestamp();
        _stepTimes.Record(
            step.Plan, _time.GetElapsedTime(step.Began, now), _time.GetElapsedTime(Math.Max(step.Began, _lastEnd), now), step.BehindPrompts);
        _lastEnd = now;
        HandOut();
    }

    private void ThrowIfLost()
    {
        if (_executor.Lost is not { IsCompleted: true } lost) return;
        var cause = lost.Exception?.GetBaseException();
        throw cause as StepFailedException ?? new StepFailedException("The device was lost.", cause);
    }

    /// <returns><see langword="false"/> when the engine is to stop.</returns>
    private bool ApplyCommands()
    {
        foreach (var (kind, subject) in _commands.Take())
        {
            if (subject is PinCommand pin) Apply(pin);
            else Apply(kind, (Sequence)subject);
        }

        _leases.End(_scheduler.Pins);
        _disk?.TakeDone();
        return !_commands.IsClosed;
    }

    private void Apply(CommandKind kind, Sequence sequence)
    {
        switch (kind)
        {
            case CommandKind.Submit:
                _scheduler.Add(sequence);
                if (sequence.Deadline <= _time.GetUtcNow()) _scheduler.Cancel(sequence, SequenceEnd.Deadline);
                break;
            case CommandKind.Cancel:
                _scheduler.Cancel(sequence, SequenceEnd.Cancelled);
                break;
            case CommandKind.Expire:
                _scheduler.Cancel(sequence, SequenceEnd.Deadline);
                break;
        }
    }

    private void Apply(PinCommand command)
    {
        var tokens = 0;
        if (command.Tokens is null) _scheduler.Pins.Remove(command.Owner);
        else tokens = _scheduler.Pins.Add(command.Owner, command.Tokens, command.Salt, _time.GetUtcNow() + command.Lease);
        PublishLoad(); // Before its caller knows.
        command.Done.SetResult(tokens);
    }

    private void ReadPrompts(ScheduledStep step, StepOutput output)
    {
        foreach (var sequence in step.Planned)
        {
            if (sequence.Reading is not { } reading) continue;
            var count = reading.RowsOf(sequence.Computed, sequence.Scheduled);
            for (var i = 0; i < count; i++)
            {
                reading.Take(
                    reading.NeedsLogits
                        ? output.Logits(sequence.FirstLogitRow + i)
                        : output.Hidden.Slice((sequence.FirstHiddenRow + i) * Info.HiddenSize, Info.HiddenSize),
                    _sampler);
            }
        }
    }

    private ReadOnlySpan<SampledToken> Sample(ScheduledStep step, StepOutput output)
    {
        var sampled = step.Sampled;
        if (_executor.Shape.Summaries)
        {
            foreach (var sequence in sampled) _sampler.Expect(output, sequence.LastLogitRow, sequence.Sampling, sequence.GeneratedCount, sequence.Choice);
        }

        for (var i = 0; i < sampled.Count; i++)
        {
            var sequence = sampled[i];
            _sampled[i] = _sampler.Sample(
                output, sequence.LastLogitRow, sequence.Sampling, sequence.Prompt, sequence.Output, sequence.Choice, i);
        }

        return _sampled.AsSpan(0, sampled.Count);
    }

    private void HandOut()
    {
        PublishLoad();
        // A step of many sequences keeps the readers' threads busy for a while: who waits for a first token is served before who waits for another.
        HandOut(first: true);
        HandOut(first: false);
        _scheduler.Outbox.Clear();
    }

    private void HandOut(bool first)
    {
        foreach (var (handle, token) in _scheduler.Outbox)
        {
            if (token.Index == 0 != first) continue;
            handle.Write(token);
            if (token.End is not null) handle.Release();
        }
    }

    private void PublishLoad()
    {
        var left = _scheduler.TakeNoLongerQueued();
        if (left > 0) Interlocked.Add(ref _queued, -left);
        long? oldest = _inFlight.TryPeek(out var step) ? step.Began : null;
        var expected = 0.0; // They end one after another.
        foreach (var ahead in _inFlight) expected += ahead.ExpectedSeconds;
        lock (_loadGate) _load = LoadValues.Of(_scheduler, _tierCounters, _stepTimes, _steps, oldest, expected);
    }

    /// <summary>The sequences that may be the cause of a failure: those of the step that was ending, or of all in flight where it may be any of them.</summary>
    private HashSet<Sequence> SuspectsOfFailure() => _ending is { } step && _executor.Lost is not { IsCompleted: true }
        ? [.. step.Planned]
        : [.. _inFlight.SelectMany(flying => flying.Planned)];

    private void End(StepFailedException? failure, HashSet<Sequence> suspects)
    {
        _commands.Close();
        var told = failure ?? new StepFailedException("The engine was stopped while the sequence ran.");
        foreach (var sequence in _scheduler.Drain()) sequence.Handle.Fail(told, suspects.Contains(sequence));
        foreach (var (handle, _) in _scheduler.Outbox) handle.Fail(told, wasInFailedStep: false);
        foreach (var (kind, subject) in _commands.Take())
        {
            if (kind == CommandKind.Submit) ((Sequence)subject).Handle.Fail(told, wasInFailedStep: false);
            if (subject is PinCommand pin) pin.Done.SetResult(0);
        }

        _leases.Dispose();
        _disk?.Dispose();
        _host?.Dispose();

        _inFlight.Clear();
        PublishLoad();
        try
        {
            _executor.Dispose();
        }
        catch (Exception error)
        {
            failure ??= new StepFailedException("The executor could not be disposed.", error);
        }

        if (failure is null) _completion.SetResult();
        else _completion.SetException(failure);
    }
}

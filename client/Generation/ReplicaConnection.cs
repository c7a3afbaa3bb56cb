using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>This process as a reader of one life of one replica: takes what each step made for all its sequences, and hands it to their streams.</summary>
/// <remarks>
/// One take is under way at all times: it brings tokens, carries credits, and is the sign of life on both sides. Where it fails or stays out, every stream
/// is lost, once; where steps stand still, those that wait for them. Safe for any thread.
/// </remarks>
internal sealed class ReplicaConnection
{
    /// <summary>A connection without streams is closed after this; the replica forgets it by its lease.</summary>
    internal static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(30);

    /// <summary>Who leaves waits for the step in progress, and no longer than this for a device that does not answer.</summary>
    internal static readonly TimeSpan LeaveLimit = TimeSpan.FromSeconds(2);

    /// <summary>How often the streams of a life that will end hear of it.</summary>
    internal static readonly TimeSpan DrainPause = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly IReplicaGrain _replica;
    private readonly TimeProvider _time;
    private readonly LifeWatch _watch;
    private readonly Guid _id = Guid.NewGuid();
    private readonly Dictionary<long, TokenStream> _streams = [];
    private readonly List<TokenCredit> _credits = [];
    private Task _opening = null!; // Set by Start, before anybody submits.
    private ITimer _timer = null!; // As the opening.
    private Action<ReplicaConnection> _onClosed = null!; // As the opening.
    private long _lastSlot;
    private long _idleSince;
    private long? _toldDraining;
    private int _admitted;
    private bool _retired;
    private bool _closed;

    /// <param name="turns">Null where each reader has a work item of its own.</param>
    public ReplicaConnection(IReplicaGrain replica, ReplicaLife life, SurvivalOptions options, ReaderTurns? turns, TimeProvider time)
    {
        (_replica, Life, Turns, _time) = (replica, life, turns, time);
        _watch = new LifeWatch(options, time);
        _idleSince = time.GetTimestamp();
    }

    public ReplicaLife Life { get; }

    /// <summary>Whose readers run by turns; null where each has a work item of its own.</summary>
    public ReaderTurns? Turns { get; }

    /// <summary>The replica knows this reader.</summary>
    public bool IsOpen => _opening.IsCompletedSuccessfully;

    /// <summary>The life, in messages.</summary>
    public string Name => $"Replica '{Life.ReplicaId}', epoch {Life.Epoch},";

    public long Timestamp => _time.GetTimestamp();

    /// <param name="closed">Called once, when nothing can be begun any more.</param>
    public void Start(Action<ReplicaConnection> closed)
    {
        _onClosed = closed;
        // It serves many requests: neither the first one's context nor its scheduler is the connection's.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _timer = _time.CreateTimer(static connection => ((ReplicaConnection)connection!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _opening = Task.Run(() => _replica.OpenReaderAsync(_id, Life.Epoch));
            _ = Task.Run(RunAsync);
        }
    }

    /// <summary>A stream for a request; null where the connection is closed.</summary>
    /// <param name="patience">How many times the limit its steps may stand still.</param>
    public TokenStream? TryBegin(int patience, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_retired) return null;
            var stream = new TokenStream(this, ++_lastSlot, patience, cancellationToken);
            _streams.Add(_lastSlot, stream);
            return stream;
        }
    }

    /// <summary>Begins nothing more: the replica has forgotten this reader. The take under way fails, and the streams with it.</summary>
    public void Retire()
    {
        lock (_gate) _retired = true;
    }

    /// <summary>Has the replica admit the request; its errors come unchanged.</summary>
    public async Task SubmitAsync(GenerateRequest request, long slot)
    {
        await _opening.ConfigureAwait(false);
        await _replica.SubmitAsync(request, Life.Epoch, _id, slot).ConfigureAwait(false);
        lock (_gate)
        {
            if (!_streams.TryGetValue(slot, out var stream)) return; // It has ended already, or was left.
            stream.Admit(Timestamp);
            if (_admitted++ == 0) _timer.Change(_watch.Begin(), Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Lets a sequence go on up to a limit.</summary>
    /// <param name="atOnce">The replica has nothing left to send of it: the take under way may never end.</param>
    public void Grant(TokenCredit credit, bool atOnce)
    {
        if (atOnce)
        {
            _ = SendAsync();
            return;
        }

        lock (_gate) _credits.Add(credit);

        async Task SendAsync()
        {
            // What is lost with it, the takes find out.
            await _replica.GrantAsync(_id, credit).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Brings a stream nothing more.</summary>
    public void Forget(long slot)
    {
        lock (_gate) Remove(slot);
    }

    /// <summary>Ends a sequence; its blocks are free when this returns, unless the replica does not answer within <see cref="LeaveLimit"/>.</summary>
    public Task CancelAsync(long slot) => WithinLeaveLimitAsync(_replica.CancelAsync(_id, slot));

    /// <summary>Waits for a call, however it ends, no longer than who leaves waits.</summary>
    public async Task WithinLeaveLimitAsync(Task call) => await call.WaitAsync(LeaveLimit, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task RunAsync()
    {
        Loss loss;
        try
        {
            await _opening.ConfigureAwait(false);
            while (!CloseIfIdle())
            {
                var message = await _replica.TakeAsync(_id, TakeCredits()).ConfigureAwait(false);
                Hear(message);
                Distribute(message);
                if (message.IsLast) break;
            }

            loss = new(LossReason.Crash, $"{Name} has ended.");
        }
        catch (Exception exception)
        {
            loss = new(LossReason.Crash, $"{Name} was lost: {exception.GetType().Name}: {exception.Message}") { IsSudden = true };
        }

        Close(loss);
    }

    /// <summary>Ends what is left, once.</summary>
    private void Close(Loss loss)
    {
        TokenStream[] left;
        lock (_gate)
        {
            if (_closed) return;
            _closed = _retired = true;
            left = [.. _streams.Values];
            _streams.Clear();
            _watch.End();
        }

        _timer.Dispose();
        _onClosed(this);
        foreach (var stream in left) stream.End(loss, runs: loss.Reason == LossReason.Stall);
    }

    private TokenCredit[] TakeCredits()
    {
        lock (_gate)
        {
            if (_credits.Count == 0) return [];
            TokenCredit[] credits = [.. _credits];
            _credits.Clear();
            return credits;
        }
    }

    /// <summary>Begins nothing more where nobody needs the connection any more, or it was given up while a take was out.</summary>
    private bool CloseIfIdle()
    {
        lock (_gate)
        {
            if (_closed) return true;
            if (_streams.Count > 0 || _time.GetElapsedTime(_idleSince) < IdleLimit) return false;
            return _retired = true;
        }
    }

    /// <summary>What a message says of the life itself.</summary>
    private void Hear(StepTokens message)
    {
        List<TokenStream>? stalled = null;
        TokenStream[] draining = [];
        lock (_gate)
        {
            _watch.Hear(message.Steps, message.StepSeconds, message.Slots.Length > 0);
            if (_watch.IsStalled(0, 1))
            {
                // Before it counts that the message has nothing for them: whoever is paused by its own reader waits for no step.
                foreach (var stream in _streams.Values)
                {
                    if (stream.WaitsForSteps(out var since) && _watch.IsStalled(since, stream.Patience)) (stalled ??= []).Add(stream);
                }
            }

            if (message.IsDraining && (_toldDraining is not { } told || _time.GetElapsedTime(told) >= DrainPause))
            {
                _toldDraining = Timestamp;
                draining = [.. _streams.Values];
            }
        }

        foreach (var stream in draining) stream.TellDraining();
        if (stalled is null) return;
        var loss = new Loss(LossReason.Stall, $"{Name} stands still after {message.Steps} steps; its longest took {message.StepSeconds:0.###} s.") { IsSudden = true };
        foreach (var stream in stalled) stream.End(loss, runs: true);
    }

    private void OnTimer()
    {
        lock (_gate)
        {
            if (_closed || !_watch.IsOn) return;
            if (_watch.Tick() is { } next)
            {
                _timer.Change(next, Timeout.InfiniteTimeSpan);
                return;
            }
        }

        // The take is left to itself: whatever it brings is late.
        Close(new(LossReason.Stall, $"{Name} was not heard of for {_watch.SilenceLimit.TotalSeconds:0.###} s.") { IsSudden = true });
    }

    private void Distribute(StepTokens message)
    {
        var detail = 0;
        for (int first = 0, end; first < message.Slots.Length; first = end)
        {
            var slot = message.Slots[first];
            end = first + 1;
            while (end < message.Slots.Length && message.Slots[end] == slot) end++;
            TokenStream? stream;
            lock (_gate) _streams.TryGetValue(slot, out stream);
            if (stream is not null && stream.Append(message, first, end, ref detail))
            {
                lock (_gate) Remove(slot);
            }

            while (detail < message.Details.Length && message.Details[detail].Entry < end) detail++; // Of a stream that was left.
        }
    }

    /// <summary>Under the lock.</summary>
    private void Remove(long slot)
    {
        if (!_streams.Remove(slot, out var stream)) return;
        if (stream.IsAdmitted && --_admitted == 0) _watch.End();
        if (_streams.Count == 0) _idleSince = _time.GetTimestamp();
    }
}

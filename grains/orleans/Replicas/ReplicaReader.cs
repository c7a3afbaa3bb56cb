using System.Threading.Tasks.Sources;
using Granary.Engine;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>One process that reads from one life of a replica: its sequences, and what they have for it.</summary>
/// <remarks>
/// The engine's thread says which sequence has something; whoever takes reads them all. So a step wakes one waiter, however many sequences it served.
/// A sequence whose reader is behind is not read, and its engine pauses it alone. One take at a time; everything else may come from any thread.
/// </remarks>
internal sealed class ReplicaReader : IValueTaskSource<bool>
{
    private readonly Lock _gate = new();
    private readonly HostedReplica _replica;
    private readonly TimeProvider _time;
    private readonly StepTokensWriter _message;
    private readonly Dictionary<long, ReadSequence> _sequences = [];
    private List<ReadSequence> _queued = []; // Those that have something, in the order in which they got it.
    private List<ReadSequence> _collected = []; // The other of two lists that take turns.
    private ManualResetValueTaskSourceCore<bool> _wake = new() { RunContinuationsAsynchronously = true }; // The engine's thread runs no grain's code.
    private ITimer _timer = null!; // Set by Start, before anybody knows the reader.
    private Action<int> _forgotten = null!; // As the timer.
    private TimeSpan _patience; // What the timer was set to, and when.
    private long _patienceBegan;
    private bool _taking;
    private bool _toldDraining; // Belongs to whoever takes.
    private bool _waiting;
    private bool _closed;

    public ReplicaReader(HostedReplica replica, TimeProvider time)
    {
        _replica = replica;
        _time = time;
        _message = new(replica);
    }

    public HostedReplica Replica => _replica;

    /// <summary>Begins the lease.</summary>
    /// <param name="forgotten">Called once, when the lease has run out or the life's last token was taken, with the number of sequences that were cut off.</param>
    public void Start(Action<int> forgotten)
    {
        _forgotten = forgotten;
        _timer = _time.CreateTimer(static reader => ((ReplicaReader)reader!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        lock (_gate) Expect(ReaderLease.Silence);
        // A take that waits when the life drains or ends hears of it at once: the silo may be about to stop.
        _replica.Changed += OnLifeChanged;
    }

    /// <summary>Takes a sequence over; where this fails it stays the caller's.</summary>
    /// <exception cref="UnknownReaderException">The reader was forgotten meanwhile.</exception>
    public void Add(long slot, ISequenceHandle handle, HostedReplica.Stay stay)
    {
        var sequence = new ReadSequence(_replica, slot, handle, stay);
        lock (_gate)
        {
            if (_closed) throw Unknown();
            if (!_sequences.TryAdd(slot, sequence)) throw new RequestRefusedException($"slot is {slot}, which another sequence of the reader has.", "slot");
            if (_taking && _patience > ReaderLease.BusyHeartbeat) Expect(ReaderLease.BusyHeartbeat);
        }

        handle.Listen(() => Ready(sequence));
    }

    /// <exception cref="UnknownReaderException">The reader has been forgotten.</exception>
    public void Grant(ReadOnlySpan<TokenCredit> credits)
    {
        foreach (var credit in credits)
        {
            ReadSequence? sequence;
            lock (_gate)
            {
                if (_closed) throw Unknown();
                if (!_sequences.TryGetValue(credit.Slot, out sequence) || !sequence.Grant(credit.Limit)) continue;
            }

            Ready(sequence);
        }
    }

    /// <summary>Waits for something to take, at most <see cref="ReaderLease.Heartbeat"/>, with sequences <see cref="ReaderLease.BusyHeartbeat"/>.</summary>
    /// <exception cref="UnknownReaderException">The reader has been forgotten.</exception>
    public async Task<StepTokens> TakeAsync()
    {
        lock (_gate)
        {
            if (_closed) throw Unknown();
            if (_taking) throw new InvalidOperationException($"A reader of replica '{_replica.ReplicaId}' takes twice at a time.");
            _taking = true;
            Expect(_sequences.Count > 0 ? ReaderLease.BusyHeartbeat : ReaderLease.Heartbeat);
        }

        try
        {
            var more = true;
            while (more)
            {
                Collect();
                if (!_message.IsEmpty) break;
                more = await WaitAsync();
            }

            var message = _message.Take(isLast: TryFinish());
            _toldDraining = message.IsDraining;
            return message;
        }
        finally
        {
            lock (_gate)
            {
                _taking = false;
                if (!_closed) Expect(ReaderLease.Silence);
            }
        }
    }

    /// <summary>Ends a sequence and waits until its blocks are free.</summary>
    public ValueTask CancelAsync(long slot)
    {
        ReadSequence? sequence;
        lock (_gate)
        {
            if (!_sequences.Remove(slot, out sequence)) return default;
            sequence.HasLeft = true;
        }

        return sequence.EndAsync();
    }

    bool IValueTaskSource<bool>.GetResult(short token) => _wake.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _wake.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wake.OnCompleted(continuation, state, token, flags);

    /// <summary>The sequence has something, may go on, or has failed. Called by the engine's thread as well.</summary>
    private void Ready(ReadSequence sequence)
    {
        if (sequence.IsOutOfCredit) return; // The next credit comes here again.
        lock (_gate)
        {
            if (sequence.IsQueued || sequence.HasLeft) return;
            sequence.IsQueued = true;
            _queued.Add(sequence);
            if (!_waiting) return;
            _waiting = false;
        }

        _wake.SetResult(true);
    }

    private void Collect()
    {
        lock (_gate)
        {
            (_queued, _collected) = (_collected, _queued);
            // Before they are read: what is written from here on queues them again.
            foreach (var sequence in _collected) sequence.IsQueued = false;
        }

        foreach (var sequence in _collected)
        {
            if (sequence.HasLeft) continue;
            if (sequence.MoveTo(_message)) Remove(sequence);
            else if (!_message.HasRoom) Ready(sequence); // Its turn comes with the next message.
        }

        _collected.Clear();
    }

    private void Remove(ReadSequence sequence)
    {
        lock (_gate)
        {
            if (!_sequences.Remove(sequence.Slot)) return; // It is being cancelled.
            sequence.HasLeft = true;
        }

        sequence.Leave();
    }

    /// <summary>True when something may be there, false when the take is to be answered without.</summary>
    private ValueTask<bool> WaitAsync()
    {
        lock (_gate)
        {
            if (_queued.Count > 0) return new(true);
            if (IsFinished || _replica.IsDraining != _toldDraining || _patience - _time.GetElapsedTime(_patienceBegan) <= TimeSpan.Zero) return new(false);
            _wake.Reset();
            _waiting = true;
            return new(this, _wake.Version);
        }
    }

    /// <summary>Under the lock.</summary>
    private bool IsFinished => _replica.Ended.IsCompleted && _sequences.Count == 0;

    private bool TryFinish()
    {
        lock (_gate)
        {
            if (!IsFinished) return false;
            _closed = true;
        }

        Close(0);
        return true;
    }

    private void OnLifeChanged()
    {
        lock (_gate)
        {
            if (_replica.Abandoned is not null)
            {
                // Its engine will not say so of each of them.
                foreach (var sequence in _sequences.Values.Where(sequence => !sequence.IsQueued))
                {
                    sequence.IsQueued = true;
                    _queued.Add(sequence);
                }
            }

            if (!_waiting) return;
            _waiting = false;
        }

        _wake.SetResult(true);
    }

    /// <summary>Under the lock.</summary>
    private void Expect(TimeSpan within)
    {
        (_patience, _patienceBegan) = (within, _time.GetTimestamp());
        _timer.Change(within, Timeout.InfiniteTimeSpan);
    }

    private void OnTimer()
    {
        ReadSequence[] left;
        lock (_gate)
        {
            if (_closed) return;
            var rest = _patience - _time.GetElapsedTime(_patienceBegan);
            if (rest > TimeSpan.Zero)
            {
                _timer.Change(rest, Timeout.InfiniteTimeSpan); // It was set anew while it fired.
                return;
            }

            if (_taking)
            {
                if (!_waiting) return;
                _waiting = false;
                left = [];
            }
            else
            {
                _closed = true;
                left = [.. _sequences.Values];
                _sequences.Clear();
                foreach (var sequence in left) sequence.HasLeft = true;
            }
        }

        if (!Volatile.Read(ref _closed))
        {
            _wake.SetResult(false);
            return;
        }

        foreach (var sequence in left) _ = sequence.EndAsync().AsTask();
        Close(left.Length);
    }

    /// <summary>Outside the lock: whoever is told may ask the reader again.</summary>
    private void Close(int cutOff)
    {
        _replica.Changed -= OnLifeChanged;
        _timer.Dispose();
        _forgotten(cutOff);
    }

    private UnknownReaderException Unknown() => new($"The reader was forgotten by replica '{_replica.ReplicaId}': it took nothing for {ReaderLease.Silence}.");
}

namespace Granary.Sharding.Links;

/// <summary>Frames with credits and pulses over any <see cref="ByteDuplex"/>.</summary>
/// <remarks>
/// Callers' own threads write and read the wire, there is none in between. Whoever waits for what only the peer can give, a frame or a credit, reads the
/// wire on everybody's behalf; one thread at a time, marked by <see cref="_reading"/>. The monitor's thread pulses, and ends the link when the peer is silent.
/// </remarks>
internal sealed class TensorLink : ITensorLink
{
    private static readonly LinkException Disposed = new(LinkFailure.Closed, "This end was disposed.");

    private readonly ByteDuplex _wire;
    private readonly LinkOptions _options;
    private readonly TimeProvider _time;
    private readonly LinkMonitor _monitor;
    private readonly FrameReader _reader;
    private readonly TaskCompletionSource<LinkException?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int _creditThreshold;

    private readonly object _state = new(); // Guards the two below; pulsed when they change, and at the end.
    private int _credits;
    private bool _reading;

    private readonly Lock _sendGate = new(); // Guards the wire's writing side and the three below.
    private readonly byte[] _header = new byte[Frame.HeaderBytes];
    private long _sequence;
    private bool _writing;

    private LinkException? _over; // Why this end has stopped; Disposed where it was disposed.
    private int _owed; // Credits to give back with the next header.
    private long _lastSent;
    private long _heard; // When the monitor looked last; its own, as the next.
    private TimeSpan _silence;
    private long _framesSent;
    private long _bytesSent;
    private long _framesReceived;
    private long _bytesReceived;

    public TensorLink(ByteDuplex wire, LinkIdentity identity, LinkOptions options, TimeProvider time, LinkMonitor monitor)
    {
        _wire = wire;
        Identity = identity;
        _options = options;
        _time = time;
        _monitor = monitor;
        _credits = options.Credits;
        _creditThreshold = Math.Max(1, options.Credits / 2);
        _reader = new(wire, identity, options, AddCredits);
        _lastSent = time.GetTimestamp();
        monitor.Add(this);
    }

    public LinkIdentity Identity { get; }

    public int MaxFrameBytes => _options.MaxFrameBytes;

    public Task<LinkException?> Ended => _ended.Task;

    public LinkCounters Counters => new(
        Interlocked.Read(ref _framesSent), Interlocked.Read(ref _bytesSent), Interlocked.Read(ref _framesReceived), Interlocked.Read(ref _bytesReceived));

    public void Send(FrameKind kind, long step, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default)
    {
        if (kind is < FrameKind.Plan or > FrameKind.Failure) throw new ArgumentOutOfRangeException(nameof(kind), kind, "No kind of frame.");
        var length = (long)first.Length + second.Length;
        if (length > _options.MaxFrameBytes)
        {
            throw new ArgumentException($"{kind} of step {step} has a payload of {length} bytes, at most {_options.MaxFrameBytes}.", nameof(first));
        }

        var checksum = FrameChecksum.Of(first, second);
        TakeCredit();
        bool written;
        lock (_sendGate) written = WriteFrame((byte)kind, step, checksum, first, second);
        if (!written)
        {
            LookForTheEnd(waits: true); // The peer may have said why.
            throw Failed();
        }

        Interlocked.Increment(ref _framesSent);
        if (Volatile.Read(ref _owed) >= _creditThreshold) TryPulse(); // Read meanwhile by another thread, which could not write.
    }

    public FrameHeader Receive()
    {
        BeginReading();
        Frame frame;
        try
        {
            if (_reader.PayloadLeft > 0) throw new InvalidOperationException($"{_reader.PayloadLeft} bytes of the payload before were not read.");
            while (!_reader.TryNext(out frame))
            {
                if (_reader.End is not null) throw Failed();
                Pump();
            }
        }
        finally
        {
            EndReading();
        }

        Interlocked.Increment(ref _framesReceived);
        if (frame.Length == 0) GiveCredit();
        return new((FrameKind)frame.Kind, frame.Step, frame.Length);
    }

    public void ReadPayload(Span<byte> destination)
    {
        if (destination.IsEmpty) return;
        bool whole;
        BeginReading();
        try
        {
            whole = _reader.Read(destination);
        }
        catch (LinkException reason)
        {
            throw Failed(reason);
        }
        finally
        {
            EndReading();
        }

        Interlocked.Add(ref _bytesReceived, destination.Length);
        if (whole) GiveCredit();
    }

    public void Abort(string reason) =>
        End(new(LinkFailure.Aborted, $"{LinkMessages.Name(Identity)}: ended here: {reason}"), reason);

    public void Dispose()
    {
        End(Disposed, null);
        _wire.Dispose();
    }

    /// <summary>Called by the monitor some times within a pulse's period; never waits.</summary>
    /// <param name="counted">Of the time since the last call what counts as silence, where nothing came.</param>
    public void Tick(TimeSpan counted)
    {
        if (_wire.Listen()) LookForTheEnd(waits: false);
        var now = _time.GetTimestamp();
        var heard = _wire.LastHeard;
        _silence = heard == _heard ? _silence + counted : _time.GetElapsedTime(heard, now) is var since && since < counted ? since : counted;
        _heard = heard;
        if (_silence > _options.SilenceLimit && !_wire.HasInput)
        {
            var reason = $"the peer has been silent for {_silence.TotalSeconds:0.##} s, at most {_options.SilenceLimit.TotalSeconds:0.##} s";
            End(new(LinkFailure.Silent, $"{LinkMessages.Name(Identity)}: {reason}."), reason);
        }
        else if (Volatile.Read(ref _owed) >= _creditThreshold || _time.GetElapsedTime(Interlocked.Read(ref _lastSent), now) >= _options.PulsePeriod / 2)
        {
            TryPulse();
        }
    }

    private void TakeCredit()
    {
        while (true)
        {
            lock (_state)
            {
                while (true)
                {
                    if (_over is not null || _ended.Task.IsCompleted) throw Failed();
                    if (_credits > 0)
                    {
                        _credits--;
                        return;
                    }

                    if (!_reading) break;
                    Monitor.Wait(_state);
                }

                _reading = true;
            }

            try
            {
                Pump();
                if (_reader.End is not null) throw Failed();
            }
            finally
            {
                EndReading();
            }
        }
    }

    private void AddCredits(int count)
    {
        lock (_state)
        {
            _credits += count;
            if (_credits > _options.Credits)
            {
                throw new LinkException(LinkFailure.Corrupt, $"{LinkMessages.Name(Identity)}: credits are {_credits}, at most {_options.Credits}.");
            }

            Monitor.PulseAll(_state);
        }
    }

    private void GiveCredit()
    {
        if (Interlocked.Increment(ref _owed) >= _creditThreshold) TryPulse();
    }

    private void BeginReading()
    {
        lock (_state)
        {
            while (_reading && _over is null) Monitor.Wait(_state);
            if (_over is not null) throw Failed();
            _reading = true;
        }
    }

    private void EndReading()
    {
        lock (_state)
        {
            _reading = false;
            Monitor.PulseAll(_state);
        }
    }

    private void Pump()
    {
        try
        {
            _reader.Pump();
            if (_reader.End is { } end) PeerEnded(end);
        }
        catch (LinkException reason)
        {
            throw Failed(reason);
        }
    }

    /// <summary>The peer's end is there: finds out why, among what it said before. No read waits any more.</summary>
    /// <param name="waits">Whether for who reads already, who will find out too.</param>
    private void LookForTheEnd(bool waits)
    {
        lock (_state)
        {
            while (waits && _reading && !_ended.Task.IsCompleted) Monitor.Wait(_state);
            if (_reading || _ended.Task.IsCompleted) return;
            _reading = true;
        }

        try
        {
            while (_reader.End is null) Pump();
        }
        catch (LinkException)
        {
            // Not a valid frame; the link is over and says so.
        }
        finally
        {
            EndReading();
        }
    }

    /// <summary>Nothing more will come and nothing can be sent, but what came before may still be read.</summary>
    private void PeerEnded(LinkException reason)
    {
        _wire.EndWriting();
        lock (_state)
        {
            _ended.TrySetResult(_over is null ? reason : _over == Disposed ? null : _over);
            Monitor.PulseAll(_state);
        }

        _monitor.Remove(this);
    }

    private void TryPulse()
    {
        if (!_sendGate.TryEnter()) return;
        try
        {
            if (_over is null && !_writing && _wire.CanWriteNow) WriteFrame(Frame.Pulse, 0, FrameChecksum.Of([]), [], []);
        }
        finally
        {
            _sendGate.Exit();
        }
    }

    private bool WriteFrame(byte kind, long step, uint checksum, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        var length = first.Length + second.Length;
        var credits = (ushort)Interlocked.Exchange(ref _owed, 0);
        new Frame(kind, credits, Identity.Epoch, step, _sequence++, length, checksum).Write(_header);
        _writing = true;
        var written = _wire.Write(_header, first, second);
        _writing = !written; // A frame that was cut off stays the last.
        Interlocked.Exchange(ref _lastSent, _time.GetTimestamp());
        Interlocked.Add(ref _bytesSent, length);
        return written;
    }

    /// <summary>Ends this end, and the other where it can still be told; the first reason stays.</summary>
    private void End(LinkException reason, string? told)
    {
        if (Interlocked.CompareExchange(ref _over, reason, null) is not null) return;
        if (told is not null && _sendGate.TryEnter())
        {
            try
            {
                var text = LinkMessages.Encode(told);
                if (!_writing && _wire.CanWriteNow) WriteFrame(Frame.Abort, 0, FrameChecksum.Of(text), text, []);
            }
            finally
            {
                _sendGate.Exit();
            }
        }

        _wire.Abort();
        lock (_state)
        {
            _ended.TrySetResult(reason == Disposed ? null : reason);
            Monitor.PulseAll(_state);
        }

        _monitor.Remove(this);
    }

    /// <summary>What to throw, now that a call could not do what it should.</summary>
    private Exception Failed(LinkException? found = null)
    {
        if (found?.Failure == LinkFailure.Corrupt) End(found, found.Message);
        var reason = _over ?? _reader.End ?? found ?? _reader.Closed();
        if (_over is null) PeerEnded(reason);
        return reason == Disposed
            ? new ObjectDisposedException(nameof(ITensorLink), $"{LinkMessages.Name(Identity)} was disposed.")
            : new LinkException(reason.Failure, reason.Message, reason);
    }
}

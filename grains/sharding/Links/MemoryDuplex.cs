namespace Granary.Sharding.Links;

/// <summary>One end of a pair within a process. A write takes as much memory as the peer leaves unread: the link's credits bound it.</summary>
internal sealed class MemoryDuplex : ByteDuplex
{
    private readonly Direction _incoming;
    private readonly Direction _outgoing;

    private MemoryDuplex(Direction incoming, Direction outgoing)
    {
        _incoming = incoming;
        _outgoing = outgoing;
    }

    public static (MemoryDuplex Dialer, MemoryDuplex Acceptor) Pair(TimeProvider time)
    {
        var (there, back) = (new Direction(time), new Direction(time));
        return (new(back, there), new(there, back));
    }

    public override long LastHeard => _incoming.LastWritten;

    public override string? Error => null;

    public override bool CanWriteNow => true;

    public override bool HasInput => _incoming.HasBytes;

    public override int Read(Span<byte> destination) => _incoming.Read(destination);

    public override bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first = default, ReadOnlySpan<byte> second = default) =>
        _outgoing.Write(header, first, second);

    public override bool Listen() => _incoming.Closed;

    public override void EndWriting() => _outgoing.Close(discard: false); // The peer reads what was written before.

    public override void Abort()
    {
        EndWriting();
        _incoming.Close(discard: true);
    }

    public override void Dispose() => Abort();

    private sealed class Direction(TimeProvider time)
    {
        private readonly object _gate = new();
        private readonly ByteQueue _bytes = new();
        private long _lastWritten = time.GetTimestamp();
        private bool _closed;
        private bool _discarded;

        public long LastWritten => Interlocked.Read(ref _lastWritten);

        public bool Closed
        {
            get
            {
                lock (_gate) return _closed;
            }
        }

        public bool HasBytes
        {
            get
            {
                lock (_gate) return _bytes.Count > 0 || _closed;
            }
        }

        public int Read(Span<byte> destination)
        {
            lock (_gate)
            {
                while (!_closed && _bytes.Count == 0) Monitor.Wait(_gate);
                return _discarded ? 0 : _bytes.Take(destination);
            }
        }

        public bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
        {
            lock (_gate)
            {
                if (_closed) return false;
                _bytes.Add(header);
                _bytes.Add(first);
                _bytes.Add(second);
                Interlocked.Exchange(ref _lastWritten, time.GetTimestamp());
                Monitor.PulseAll(_gate);
                return true;
            }
        }

        public void Close(bool discard)
        {
            lock (_gate)
            {
                _closed = true;
                _discarded |= discard;
                Monitor.PulseAll(_gate);
            }
        }
    }
}

using Granary.Sharding.Links;

namespace Granary.Tests.Support;

/// <summary>A link's bytes with the faults of <see cref="FaultyTransport"/>. Each write is one frame.</summary>
internal sealed class FaultyWire(ByteDuplex inner, LinkIdentity identity, TimeProvider time, Action<FaultyWire> disposed) : ByteDuplex
{
    private const int KindOffset = 5;

    private readonly object _gate = new();
    private bool _frozen;
    private bool _over;
    private TimeSpan _delay;
    private (int Offset, int Bit)? _corruption;

    public LinkIdentity Identity => identity;

    public bool Frozen
    {
        set
        {
            lock (_gate)
            {
                _frozen = value;
                Monitor.PulseAll(_gate);
            }
        }
    }

    public TimeSpan DelayOfFrames
    {
        set
        {
            lock (_gate) _delay = value;
        }
    }

    /// <summary>A stopped process does not find its peer silent.</summary>
    public override long LastHeard => IsFrozen ? time.GetTimestamp() : inner.LastHeard;

    public override string? Error => inner.Error;

    public override bool CanWriteNow => !IsFrozen && inner.CanWriteNow;

    public override bool HasInput => inner.HasInput;

    private bool IsFrozen
    {
        get
        {
            lock (_gate) return _frozen;
        }
    }

    public void Corrupt(int offset, int bit)
    {
        lock (_gate) _corruption = (offset, bit);
    }

    public override int Read(Span<byte> destination)
    {
        WaitWhileFrozen();
        var count = inner.Read(destination);
        if (count > 0) WaitWhileFrozen();
        return count;
    }

    public override bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first = default, ReadOnlySpan<byte> second = default)
    {
        WaitWhileFrozen();
        TimeSpan delay;
        (int Offset, int Bit)? corruption = null;
        lock (_gate)
        {
            delay = _delay;
            if (header[KindOffset] != Frame.Pulse) (corruption, _corruption) = (_corruption, null);
        }

        if (delay > TimeSpan.Zero) Task.Delay(delay, time).GetAwaiter().GetResult();
        if (corruption is not { } flip) return inner.Write(header, first, second);
        byte[] frame = [.. header, .. first, .. second];
        frame[flip.Offset % frame.Length] ^= (byte)(1 << flip.Bit);
        return inner.Write(frame);
    }

    public override bool Listen()
    {
        if (!inner.Listen()) return false;
        Frozen = false; // Given up by the peer: who is stuck here is to go on.
        return true;
    }

    public override void EndWriting() => inner.EndWriting();

    public override void Abort()
    {
        lock (_gate)
        {
            _over = true;
            Monitor.PulseAll(_gate);
        }

        inner.Abort();
    }

    public override void Dispose()
    {
        Abort();
        inner.Dispose();
        disposed(this);
    }

    private void WaitWhileFrozen()
    {
        lock (_gate)
        {
            while (_frozen && !_over) Monitor.Wait(_gate);
        }
    }
}

namespace Granary.Sharding.Links;

/// <summary>Cuts a link's incoming bytes into frames. Headers are looked at as soon as they are here, payloads when they are asked for.</summary>
/// <remarks>
/// A sender that waits for credits looks ahead: frames that its own reader has not asked for yet stay in the buffer, which grows with them. That is bounded
/// by the credits this end has given. Otherwise the buffer holds the beginning of a payload at most; the rest goes straight to the caller's memory.
/// Used by one thread at a time.
/// </remarks>
internal sealed class FrameReader(ByteDuplex wire, LinkIdentity identity, LinkOptions options, Action<int> creditsCame)
{
    private const int BufferBytes = 24 << 10; // A frame of some rows comes with its header in one call.
    private const int KeptBytes = 1 << 20;

    private readonly Queue<(Frame Frame, long PayloadAt)> _announced = new(options.Credits + 1);
    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferBytes);
    private int _start;
    private int _end;
    private long _position; // Of the byte at _start in the stream.
    private long _nextHeader; // In the stream: the first header that was not looked at.
    private long _sequence;
    private Frame _current;
    private int _payloadLeft;
    private FrameChecksum _checksum;

    /// <summary>Why nothing more will come, once that is known; frames that came before it are still to be had.</summary>
    public LinkException? End { get; private set; }

    /// <summary>Bytes of the current frame's payload that were not asked for yet.</summary>
    public int PayloadLeft => _payloadLeft;

    private int Buffered => _end - _start;

    /// <summary>Waits for bytes and looks at the headers among them; afterwards there may be a frame, or credits, or the end, or none of them.</summary>
    /// <exception cref="LinkException">What came is not a valid frame.</exception>
    public void Pump()
    {
        if (End is not null) return;
        MakeRoom();
        var count = wire.Read(_buffer.AsSpan(_end));
        if (count == 0)
        {
            End = Closed();
            return;
        }

        _end += count;
        LookAtHeaders();
    }

    /// <summary>Goes on to the next frame, if it is announced.</summary>
    public bool TryNext(out Frame frame)
    {
        if (!_announced.TryDequeue(out var next))
        {
            frame = default;
            return false;
        }

        Drop((int)(next.PayloadAt - _position)); // Pulses before it, and its header.
        frame = _current = next.Frame;
        _payloadLeft = frame.Length;
        _checksum = default;
        return true;
    }

    /// <summary>Reads the next bytes of the current payload.</summary>
    /// <returns>Whether they were the last.</returns>
    /// <exception cref="LinkException">The link is over, or the payload's checksum is wrong.</exception>
    public bool Read(Span<byte> destination)
    {
        if (destination.Length > _payloadLeft)
        {
            throw new ArgumentException($"{destination.Length} bytes are asked for, {_payloadLeft} of the frame's {_current.Length} are left.", nameof(destination));
        }

        _payloadLeft -= destination.Length;
        while (destination.Length > 0)
        {
            int count;
            if (Buffered > 0)
            {
                count = Math.Min(Buffered, destination.Length);
                _buffer.AsSpan(_start, count).CopyTo(destination);
                Drop(count);
            }
            else
            {
                count = wire.Read(destination);
                _position += count;
                if (count == 0) throw End ??= Closed();
            }

            _checksum.Add(destination[..count]);
            destination = destination[count..];
        }

        if (_payloadLeft > 0) return false;
        if (_checksum.Finish() is var checksum && checksum != _current.Checksum)
        {
            throw Corrupt($"the payload's checksum is {checksum:x8}, announced {_current.Checksum:x8}, in {(FrameKind)_current.Kind} of step {_current.Step}");
        }

        return true;
    }

    public LinkException Closed() =>
        new(LinkFailure.Closed, $"{LinkMessages.Name(identity)}: the peer closed it, or is gone{(wire.Error is { } error ? $" ({error})" : "")}.");

    private void LookAtHeaders()
    {
        while (End is null && _nextHeader + Frame.HeaderBytes <= _position + Buffered)
        {
            var ahead = _buffer.AsSpan(_start + (int)(_nextHeader - _position), (int)(_position + Buffered - _nextHeader));
            if (Frame.TryRead(ahead, identity.Epoch, _sequence, options.MaxFrameBytes, out var frame) is { } wrong) throw Corrupt(wrong);
            if (frame.IsAbort && !TryReadAbort(ahead[Frame.HeaderBytes..], frame)) return;
            _sequence++;
            _nextHeader += Frame.HeaderBytes + frame.Length;
            if (frame.Credits > 0) creditsCame(frame.Credits);
            if (frame.IsPulse || frame.IsAbort) continue;
            // One that was read to its end and whose credit is under way is not counted, nor is one that waits for a credit.
            if (_announced.Count >= options.Credits) throw Corrupt($"frames sent ahead are {_announced.Count + 1}, at most {options.Credits}");
            _announced.Enqueue((frame, _nextHeader - frame.Length));
        }

        if (_announced.Count == 0 && _payloadLeft == 0) Drop((int)Math.Min(Buffered, _nextHeader - _position));
    }

    private bool TryReadAbort(ReadOnlySpan<byte> payload, in Frame frame)
    {
        if (payload.Length < frame.Length) return false;
        payload = payload[..frame.Length];
        if (FrameChecksum.Of(payload) != frame.Checksum) throw Corrupt("the reason of the peer's end fails its checksum");
        End = new(LinkFailure.Aborted, $"{LinkMessages.Name(identity)}: the peer ended it: {LinkMessages.Decode(payload)}");
        return true;
    }

    private void Drop(int count)
    {
        _start += count;
        _position += count;
        if (_start < _end) return;
        _start = _end = 0;
        if (_buffer.Length > KeptBytes) _buffer = GC.AllocateUninitializedArray<byte>(BufferBytes);
    }

    private void MakeRoom()
    {
        if (_end < _buffer.Length) return;
        if (_start < _buffer.Length / 2)
        {
            var larger = Math.Min(2L * _buffer.Length, Array.MaxLength);
            if (larger == _buffer.Length) throw Corrupt($"{Buffered} bytes were sent ahead, at most {Array.MaxLength}");
            var buffer = GC.AllocateUninitializedArray<byte>((int)larger);
            _buffer.AsSpan(_start, Buffered).CopyTo(buffer);
            _buffer = buffer;
        }
        else
        {
            _buffer.AsSpan(_start, Buffered).CopyTo(_buffer);
        }

        _end = Buffered;
        _start = 0;
    }

    private LinkException Corrupt(string what) => new(LinkFailure.Corrupt, $"{LinkMessages.Name(identity)}: {what}.");
}

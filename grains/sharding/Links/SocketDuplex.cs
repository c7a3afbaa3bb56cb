using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Granary.Sharding.Links;

/// <summary>A TCP or Unix socket, used by system calls of the threads that wait: no thread or event loop in between.</summary>
/// <remarks>
/// Writes never block; a writer that must wait for room polls for room and for bytes at the same time. Reads block in the one call that also takes the
/// bytes, where the system lets writes of the same socket not block; elsewhere they poll as well. Before it blocks a reader yields for a bounded moment.
/// </remarks>
internal sealed class SocketDuplex : ByteDuplex
{
    /// <summary>What <see cref="Listen"/> takes out of the socket at most while nobody reads: pulses of many minutes.</summary>
    private const int ListenedBytes = 64 << 10;

    /// <summary>How long a writer that shares the socket with a reader waits for room before it looks whether the reader is still there.</summary>
    private const int SharedPollMicroseconds = 10_000;

    private const int Forever = -1;

    /// <summary>How long a reader offers its core to others before it gives it up. Ranks meet dozens of times a step, and waking costs more than most of these waits.</summary>
    private static readonly TimeSpan YieldTime = TimeSpan.FromMicroseconds(50);

    private readonly Socket _socket;
    private readonly TimeProvider _time;
    private readonly long _maxAside;
    private readonly object _gate = new(); // Guards the four below.
    private readonly ByteQueue _aside = new();
    private bool _receiving; // A thread is in, or about to make, a call that takes bytes out of the socket.
    private int _waitingReaders;
    private bool _ended;
    private byte[]? _scratch; // Of the writer that sets bytes aside, or of the listener: whoever is receiving.
    private readonly List<Socket> _readable = new(1);
    private readonly List<Socket> _writable = new(1);
    private long _lastHeard;
    private volatile string? _error;
    private volatile bool _aborted;

    /// <param name="socket">Connected; disposed with this.</param>
    /// <param name="maxAside">Bytes that may be set aside: a peer that keeps to its credits never sends more.</param>
    public SocketDuplex(Socket socket, TimeProvider time, long maxAside)
    {
        _socket = socket;
        _time = time;
        _maxAside = maxAside;
        _lastHeard = time.GetTimestamp();
        socket.Blocking = GatheredSend.IsSupported;
    }

    public override long LastHeard => Interlocked.Read(ref _lastHeard);

    public override string? Error => _error;

    public override bool CanWriteNow => Poll(0, SelectMode.SelectWrite);

    public override bool HasInput
    {
        get
        {
            lock (_gate)
            {
                if (_aside.Count > 0 || _ended) return true;
            }

            return Poll(0, SelectMode.SelectRead);
        }
    }

    public override int Read(Span<byte> destination)
    {
        lock (_gate)
        {
            while (true)
            {
                if (_aborted) return 0;
                if (_aside.Count > 0) return _aside.Take(destination);
                if (_ended) return 0;
                if (!_receiving) break;
                _waitingReaders++;
                Monitor.Wait(_gate);
                _waitingReaders--;
            }

            _receiving = true;
        }

        var count = 0;
        try
        {
            YieldForInput();
            while ((count = TryReceive(destination)) < 0) Poll(Forever, SelectMode.SelectRead);
            return count;
        }
        finally
        {
            Received([], ended: count == 0);
        }
    }

    public override bool Write(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first = default, ReadOnlySpan<byte> second = default)
    {
        while (header.Length + first.Length + second.Length > 0)
        {
            if (_aborted) return false;
            var sent = TrySend(header, first, second);
            if (sent < 0) return false;
            if (sent == 0) WaitForRoom();
            header = Rest(header, ref sent);
            first = Rest(first, ref sent);
            second = Rest(second, ref sent);
        }

        return true;
    }

    public override bool Listen()
    {
        lock (_gate)
        {
            if (_ended) return true;
            if (_receiving || _aside.Count >= ListenedBytes) return false;
            _receiving = true;
        }

        var count = -1;
        var scratch = _scratch ??= GC.AllocateUninitializedArray<byte>(ListenedBytes);
        try
        {
            if (Poll(0, SelectMode.SelectRead)) count = TryReceive(scratch);
            return count == 0;
        }
        finally
        {
            Received(scratch.AsSpan(0, Math.Max(count, 0)), ended: count == 0);
        }
    }

    public override void EndWriting() => Shutdown(SocketShutdown.Send);

    public override void Abort()
    {
        _aborted = true;
        Shutdown(SocketShutdown.Both); // Wakes who polls, here and there.
        lock (_gate) Monitor.PulseAll(_gate);
    }

    public override void Dispose()
    {
        Abort();
        _socket.Dispose();
    }

    private void Shutdown(SocketShutdown how)
    {
        try
        {
            _socket.Shutdown(how);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // It is over already.
        }
    }

    /// <summary>What is left of a piece when so many bytes of it and those after it have gone.</summary>
    private static ReadOnlySpan<byte> Rest(ReadOnlySpan<byte> piece, scoped ref long sent)
    {
        var gone = (int)Math.Min(sent, piece.Length);
        sent -= gone;
        return piece[gone..];
    }

    /// <returns>Bytes sent; 0 where there is no room now; -1 where it is over. What the peer said before it left can still be read.</returns>
    private long TrySend(ReadOnlySpan<byte> header, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        try
        {
            if (GatheredSend.IsSupported)
            {
                var sent = GatheredSend.Send(_socket.SafeHandle, header, first, second, out var code);
                if (sent < 0) _error ??= Marshal.GetPInvokeErrorMessage(code);
                return sent;
            }

            var count = _socket.Send(header.Length > 0 ? header : first.Length > 0 ? first : second, SocketFlags.None, out var error);
            if (error is SocketError.Success or SocketError.WouldBlock or SocketError.Interrupted) return count;
            Note(error);
            return -1;
        }
        catch (ObjectDisposedException)
        {
            return -1;
        }
    }

    /// <summary>Waits until the socket takes bytes again. Where nobody receives, this thread does, and sets aside what comes.</summary>
    private void WaitForRoom()
    {
        bool alone;
        lock (_gate)
        {
            if (_aside.Count > _maxAside)
            {
                _error ??= $"the peer sent {_aside.Count} bytes ahead of its credits, at most {_maxAside}";
                Abort();
            }

            alone = !_receiving && _waitingReaders == 0 && !_ended && !_aborted;
            _receiving |= alone;
        }

        if (!alone)
        {
            Poll(SharedPollMicroseconds, SelectMode.SelectWrite);
            return;
        }

        var count = -1;
        var scratch = _scratch ??= GC.AllocateUninitializedArray<byte>(ListenedBytes);
        try
        {
            if (Select()) count = TryReceive(scratch);
        }
        finally
        {
            Received(scratch.AsSpan(0, Math.Max(count, 0)), ended: count == 0);
        }
    }

    /// <summary>Hands the receiving over, with what was received and is nobody's yet.</summary>
    private void Received(ReadOnlySpan<byte> aside, bool ended)
    {
        lock (_gate)
        {
            _aside.Add(aside);
            _ended |= ended;
            _receiving = false;
            if (_waitingReaders > 0) Monitor.PulseAll(_gate);
        }
    }

    /// <returns>Bytes received; 0 at the end; -1 where there are none now.</returns>
    private int TryReceive(Span<byte> destination)
    {
        if (_aborted) return 0;
        int count;
        SocketError error;
        try
        {
            count = _socket.Receive(destination, SocketFlags.None, out error);
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }

        if (error is SocketError.WouldBlock or SocketError.Interrupted) return -1;
        if (error != SocketError.Success)
        {
            Note(error);
            return 0;
        }

        if (count > 0) Interlocked.Exchange(ref _lastHeard, _time.GetTimestamp());
        return count;
    }

    private bool Poll(int microseconds, SelectMode mode)
    {
        try
        {
            return !_aborted && _socket.Poll(microseconds, mode);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return true; // The call that follows says what is wrong.
        }
    }

    /// <summary>Lets other threads run until there are bytes, for a short time.</summary>
    private void YieldForInput()
    {
        try
        {
            var since = _time.GetTimestamp();
            while (!_aborted && _socket.Available == 0 && _time.GetElapsedTime(since) < YieldTime) Thread.Yield();
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // The call that follows says what is wrong.
        }
    }

    /// <summary>Waits for room or bytes.</summary>
    /// <returns>Whether there are bytes.</returns>
    private bool Select()
    {
        _readable.Clear();
        _readable.Add(_socket);
        _writable.Clear();
        _writable.Add(_socket);
        try
        {
            if (!_aborted) Socket.Select(_readable, _writable, null, Forever);
            return _readable.Count > 0;
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return true;
        }
    }

    private void Note(SocketError error) => _error ??= new SocketException((int)error).Message;
}

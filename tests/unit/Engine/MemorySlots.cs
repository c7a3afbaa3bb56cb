using Granary.Engine.Execution;

namespace Granary.Tests.Unit.Engine;

/// <summary>A disk under a test's control: it can be held, fail, and give back something else than it got.</summary>
internal sealed class MemorySlots(int count) : IKvSlots
{
    private readonly byte[]?[] _slots = new byte[count][];
    private readonly ManualResetEventSlim _free = new(initialState: true);
    private readonly ManualResetEventSlim _readable = new(initialState: true);
    private readonly TaskCompletionSource _readAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _writes;

    public int Count => count;

    public bool FailReads { get; set; }

    public bool FailWrites { get; set; }

    public bool FlipBits { get; set; }

    public bool IsDisposed { get; private set; }

    public int Writes => Volatile.Read(ref _writes);

    /// <summary>Completes when something has been asked for.</summary>
    public Task ReadAsked => _readAsked.Task;

    public void Hold() => _free.Reset();

    /// <summary>Holds reads alone: writes that are still under way come before them.</summary>
    public void HoldReads() => _readable.Reset();

    public void Release()
    {
        _free.Set();
        _readable.Set();
    }

    public void Write(int slot, ReadOnlySpan<byte> content)
    {
        _free.Wait();
        if (FailWrites) throw new IOException("The disk is full.");
        _slots[slot] = content.ToArray();
        Interlocked.Increment(ref _writes);
    }

    public void Read(int slot, Span<byte> content)
    {
        _readAsked.TrySetResult();
        _free.Wait();
        _readable.Wait();
        if (FailReads) throw new IOException("The disk is gone.");
        _slots[slot].CopyTo(content);
        if (FlipBits) content[^1] ^= 0x80;
    }

    public void Dispose() => IsDisposed = true;
}

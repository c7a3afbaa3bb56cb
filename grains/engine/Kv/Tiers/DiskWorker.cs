using System.Collections.Concurrent;
using Granary.Engine.Execution;

namespace Granary.Engine.Kv.Tiers;

/// <summary>Reads and writes slots on a thread of its own, in order. What is under way is bounded by its buffers.</summary>
internal sealed class DiskWorker : IDisposable
{
    /// <value>32 blocks: megabytes, and enough for a disk to be busy while the engine runs a step.</value>
    private const int Buffers = 32;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly IKvSlots _file;
    private readonly int _blockBytes;
    private readonly Action _wake;
    private readonly BlockingCollection<Work> _asked = [];
    private readonly ConcurrentQueue<Work> _done = new();
    private readonly Stack<byte[]> _free = new(Buffers); // The engine's thread's alone.
    private readonly Thread _thread;
    private int _rented;

    public DiskWorker(IKvSlots file, int blockBytes, Action wake)
    {
        (_file, _blockBytes, _wake) = (file, blockBytes, wake);
        _thread = new(Run) { IsBackground = true, Name = "Granary KV disk" };
        _thread.Start();
    }

    /// <returns><see langword="false"/> when all buffers are under way.</returns>
    public bool TryRent(out byte[] buffer)
    {
        buffer = [];
        if (!_free.TryPop(out var free))
        {
            if (_rented == Buffers) return false;
            free = new byte[_blockBytes];
            _rented++;
        }

        buffer = free;
        return true;
    }

    public void Return(byte[] buffer) => _free.Push(buffer);

    /// <param name="buffer">A rented one; it comes back with <see cref="TryTake"/>.</param>
    public void Write(int slot, byte[] buffer) => _asked.Add(new(slot, buffer, IsWrite: true, Failed: false));

    /// <inheritdoc cref="Write"/>
    public void Read(int slot, byte[] buffer) => _asked.Add(new(slot, buffer, IsWrite: false, Failed: false));

    public bool TryTake(out Work done) => _done.TryDequeue(out done);

    /// <summary>Ends the thread when it has done what is under way; one that a disk does not let go of is left behind.</summary>
    public void Dispose()
    {
        _asked.CompleteAdding();
        if (_thread.Join(Patience)) _asked.Dispose();
    }

    private void Run()
    {
        using (_file)
        {
            foreach (var work in _asked.GetConsumingEnumerable())
            {
                var failed = false;
                try
                {
                    if (work.IsWrite) _file.Write(work.Slot, work.Buffer);
                    else _file.Read(work.Slot, work.Buffer);
                }
                catch (IOException)
                {
                    failed = true; // The tier counts it; nothing is lost but time.
                }

                _done.Enqueue(work with { Failed = failed });
                _wake();
            }
        }
    }

    public readonly record struct Work(int Slot, byte[] Buffer, bool IsWrite, bool Failed);
}

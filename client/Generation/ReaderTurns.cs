using System.Collections.Concurrent;

namespace Granary.Client;

/// <summary>Runs those who read tokens, when there is something for them: who waits for a first token before who goes on.</summary>
/// <remarks>
/// A step ends for all its sequences at once. Were each reader a work item of the pool, whatever a new request needs would wait behind a thousand of them;
/// here all cores but one work for readers, a few at a time. A reader whose turn comes late finds several tokens and sends them together.
/// For readers that never block a thread: others wait for them. Safe for any thread.
/// </remarks>
/// <param name="workers">Threads that may run readers at a time, at least 1.</param>
internal sealed class ReaderTurns(int workers) : IThreadPoolWorkItem
{
    /// <summary>Readers that are run before whatever else the pool has to do gets its turn.</summary>
    private const int Slice = 8;

    private readonly ConcurrentQueue<IThreadPoolWorkItem> _beginning = new();
    private readonly ConcurrentQueue<IThreadPoolWorkItem> _going = new();
    private int _running;

    /// <summary>Has a reader run.</summary>
    /// <param name="begins">It waits for its first token.</param>
    public void Add(IThreadPoolWorkItem reader, bool begins)
    {
        (begins ? _beginning : _going).Enqueue(reader);
        Start();
    }

    void IThreadPoolWorkItem.Execute()
    {
        for (var i = 0; i < Slice; i++)
        {
            if (!_beginning.TryDequeue(out var reader) && !_going.TryDequeue(out reader))
            {
                Interlocked.Decrement(ref _running);
                if (!_beginning.IsEmpty || !_going.IsEmpty) Start(); // It came after the look and found all workers running.
                return;
            }

            reader.Execute();
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private void Start()
    {
        for (var running = Volatile.Read(ref _running); running < workers;)
        {
            var found = Interlocked.CompareExchange(ref _running, running + 1, running);
            if (found == running)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                return;
            }

            running = found;
        }
    }
}

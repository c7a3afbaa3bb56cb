using System.Runtime.CompilerServices;

namespace Granary.Silo.Gateway;

/// <summary>Threads for answers that have begun. A step's tokens come all at once, and would stand before new requests in the thread pool's queue.</summary>
/// <remarks>
/// The system shares the cores between these threads and the pool's, so a request that arrives and a first token wait for a time slice and not for the
/// tokens of everybody else. First come, first served; after disposal the thread pool does the rest.
/// </remarks>
internal sealed class TokenLane : TaskScheduler, IDisposable
{
    [ThreadStatic]
    private static TokenLane? _current;

    private readonly object _gate = new();
    private readonly Queue<Task> _tasks = new();
    private bool _closed;

    public TokenLane()
    {
        for (var i = 0; i < MaximumConcurrencyLevel; i++) new Thread(Work) { IsBackground = true, Name = "Granary tokens" }.Start();
    }

    /// <summary>Half of the cores: the other half is for whoever makes the tokens.</summary>
    public override int MaximumConcurrencyLevel { get; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>Whether the caller runs here.</summary>
    public bool IsCurrent => _current == this;

    /// <summary>What follows an await of it runs here, and so do the continuations of awaits after it.</summary>
    public Entry EnterAsync() => new(this);

    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.PulseAll(_gate);
        }
    }

    protected override void QueueTask(Task task)
    {
        lock (_gate)
        {
            if (!_closed)
            {
                _tasks.Enqueue(task);
                Monitor.Pulse(_gate);
                return;
            }
        }

        ThreadPool.UnsafeQueueUserWorkItem(static work => work.Lane.TryExecuteTask(work.Task), (Lane: this, Task: task), preferLocal: false);
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => _current == this && !taskWasPreviouslyQueued && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_gate) return [.. _tasks];
    }

    private void Work()
    {
        _current = this;
        while (true)
        {
            Task? task;
            lock (_gate)
            {
                while (!_tasks.TryDequeue(out task))
                {
                    if (_closed) return;
                    Monitor.Wait(_gate);
                }
            }

            TryExecuteTask(task);
        }
    }

    public readonly struct Entry(TokenLane lane) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => lane.IsCurrent;

        public Entry GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation) =>
            Task.Factory.StartNew(continuation, CancellationToken.None, TaskCreationOptions.DenyChildAttach, lane);
    }
}

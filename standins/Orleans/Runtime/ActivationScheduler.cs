namespace Orleans.Runtime;

/// <summary>Runs one activation's turns, one at a time, on the thread pool. Awaits in the activation's code come back to it.</summary>
internal sealed class ActivationScheduler(Activation activation) : TaskScheduler, IThreadPoolWorkItem
{
    /// <summary>Turns in a row before other work gets the thread.</summary>
    private const int TurnsPerQuantum = 128;

    [ThreadStatic]
    private static ActivationScheduler? _running;

    private readonly Lock _gate = new();
    private readonly Queue<Task> _tasks = new();
    private bool _pump;
    private bool _scheduled;
    private bool _paused;
    private bool _dead;

    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Has the activation look for calls to start.</summary>
    public void RequestPump()
    {
        lock (_gate)
        {
            _pump = true;
            ScheduleIfNeeded();
        }
    }

    public void QueueAction(Action<object?> action, object? state)
    {
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            new Task(action, state).Start(this);
        }
    }

    /// <summary>Stops between turns; what is queued stays queued.</summary>
    public void Pause(bool paused)
    {
        lock (_gate)
        {
            _paused = paused;
            ScheduleIfNeeded();
        }
    }

    /// <summary>No further turn runs: the silo was killed.</summary>
    public void Kill()
    {
        lock (_gate)
        {
            _dead = true;
            _tasks.Clear();
        }
    }

    public void Execute()
    {
        var outerContext = RuntimeContext.Current;
        var outerScheduler = _running;
        RuntimeContext.Current = activation;
        _running = this;
        try
        {
            for (var turn = 0; turn < TurnsPerQuantum; turn++)
            {
                Task? task = null;
                lock (_gate)
                {
                    if (_dead || _paused || (_tasks.Count == 0 && !_pump))
                    {
                        _scheduled = false;
                        return;
                    }

                    // Turns that were begun come before calls that were not.
                    if (!_tasks.TryDequeue(out task)) _pump = false;
                }

                if (task is not null) TryExecuteTask(task);
                else new Task(static state => ((Activation)state!).Pump(), activation).RunSynchronously(this);
            }
        }
        finally
        {
            RuntimeContext.Current = outerContext;
            _running = outerScheduler;
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    protected override void QueueTask(Task task)
    {
        lock (_gate)
        {
            if (_dead) return;
            _tasks.Enqueue(task);
            ScheduleIfNeeded();
        }
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        _running == this && !taskWasPreviouslyQueued && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_gate)
        {
            return [.. _tasks];
        }
    }

    private void ScheduleIfNeeded()
    {
        if (_scheduled || _paused || _dead || (_tasks.Count == 0 && !_pump)) return;
        _scheduled = true;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
    }
}

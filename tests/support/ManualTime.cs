namespace Granary.Tests.Support;

/// <summary>Time that passes only when a test says so; timers fire on the thread that advances it.</summary>
public sealed class ManualTime : TimeProvider
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly List<ManualTimer> _timers = [];
    private readonly List<(Func<bool> Holds, TaskCompletionSource Reached)> _waiters = [];
    private DateTimeOffset _now = Start;
    private int _armed;

    public static DateTimeOffset Start { get; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Completes when somebody has begun to wait.</summary>
    public Task Armed => ArmedTimes(1);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How long until the next timer fires.</summary>
    public TimeSpan NextDue
    {
        get
        {
            lock (_gate) return _timers.Min(timer => timer.Due) - _now;
        }
    }

    /// <summary>Timers that are set and have not fired.</summary>
    public int ActiveTimers
    {
        get
        {
            lock (_gate) return _timers.Count;
        }
    }

    /// <summary>Completes when timers have been set so many times, since the beginning.</summary>
    public Task ArmedTimes(int count) => Reached(() => _armed >= count);

    /// <summary>Completes when somebody waits for this moment, counted from <see cref="Start"/>.</summary>
    public Task ArmedFor(TimeSpan moment) => Reached(() => _timers.Exists(timer => timer.Due == Start + moment));

    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate) return _now;
    }

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public void Advance(TimeSpan by)
    {
        List<ManualTimer> due;
        lock (_gate) due = MoveTo(_now + by); // Several may advance it at once, and each by as much as it says.
        foreach (var timer in due) timer.Fire();
    }

    /// <summary>Lets time pass, step by step, until something has happened that others do when it is late enough.</summary>
    /// <exception cref="TimeoutException">It does not happen, however late it is.</exception>
    public async Task AdvanceUntilAsync(Task happened, TimeSpan step)
    {
        var patience = Task.Delay(Patience);
        while (!happened.IsCompleted)
        {
            if (patience.IsCompleted) throw new TimeoutException($"It is {GetUtcNow() - Start} later and has not happened.");
            Advance(step);
            await Task.Yield();
        }
    }

    /// <param name="moment">Counted from <see cref="Start"/>; not before now.</param>
    public void AdvanceTo(TimeSpan moment)
    {
        List<ManualTimer> due;
        lock (_gate)
        {
            var to = Start + moment;
            if (to < _now) throw new ArgumentOutOfRangeException(nameof(moment), moment, $"Time would go back from {_now - Start}.");
            due = MoveTo(to);
        }

        foreach (var timer in due) timer.Fire();
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <returns>The timers to fire, outside of the lock. Under it.</returns>
    private List<ManualTimer> MoveTo(DateTimeOffset to)
    {
        _now = to;
        var due = _timers.FindAll(timer => timer.Due <= to);
        _timers.RemoveAll(due.Contains);
        return due;
    }

    private Task Reached(Func<bool> holds)
    {
        lock (_gate)
        {
            if (holds()) return Task.CompletedTask;
            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((holds, reached));
            return reached.Task;
        }
    }

    /// <summary>Fires once; nothing under test uses a period.</summary>
    private sealed class ManualTimer(ManualTime time, TimerCallback callback, object? state) : ITimer
    {
        public DateTimeOffset Due { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._gate)
            {
                time._timers.Remove(this);
                if (dueTime == Timeout.InfiniteTimeSpan) return true;
                Due = time._now + dueTime;
                time._timers.Add(this);
                time._armed++;
                foreach (var (_, reached) in time._waiters.Where(waiter => waiter.Holds())) reached.TrySetResult();
                time._waiters.RemoveAll(waiter => waiter.Reached.Task.IsCompleted);
            }

            return true;
        }

        public void Dispose()
        {
            lock (time._gate) time._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}

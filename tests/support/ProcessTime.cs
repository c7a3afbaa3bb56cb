namespace Granary.Tests.Support;

/// <summary>The clock of one process of a simulated cluster: it goes with a <see cref="VirtualTime"/>, can be frozen with its process, and may be wrong.</summary>
/// <remarks>Frozen, its timers do not fire and who waits does not go on; thawed, all that became due meanwhile comes at once, as in a process that was stopped.</remarks>
public sealed class ProcessTime : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly VirtualTime _time;
    private readonly List<VirtualEvent> _late = [];
    private long _error;
    private bool _frozen;
    private bool _ended;

    internal ProcessTime(VirtualTime time) => _time = time;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How far its wall clock is ahead of the world's; its timers do not care.</summary>
    public TimeSpan Error
    {
        get => new(Volatile.Read(ref _error));
        set => Volatile.Write(ref _error, value.Ticks);
    }

    public bool IsFrozen
    {
        get
        {
            lock (_gate) return _frozen;
        }
    }

    public override DateTimeOffset GetUtcNow() => _time.GetUtcNow() + Error;

    public override long GetTimestamp() => _time.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new VirtualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Blocks the calling thread for so long: what a device does.</summary>
    public void Wait(TimeSpan duration)
    {
        if (duration <= TimeSpan.Zero) return;
        var waiter = new Waiter(this);
        if (Schedule(waiter, duration)) waiter.Wait();
    }

    public void Freeze()
    {
        lock (_gate) _frozen = true;
    }

    public void Thaw()
    {
        foreach (var one in TakeLate(ended: false)) one.Begin();
    }

    /// <summary>The process is gone: its timers never fire, and its threads are let go so that they can end.</summary>
    public void End()
    {
        foreach (var one in TakeLate(ended: true)) one.Abandon();
    }

    private List<VirtualEvent> TakeLate(bool ended)
    {
        lock (_gate)
        {
            _frozen = false;
            _ended |= ended;
            List<VirtualEvent> late = [.. _late];
            _late.Clear();
            return late;
        }
    }

    private bool Schedule(VirtualEvent one, TimeSpan after)
    {
        lock (_gate)
        {
            if (_ended) return false;
        }

        return _time.Schedule(one, after);
    }

    /// <summary>Whether the event may run now; one of a frozen process is kept, one of a process that is gone is abandoned.</summary>
    private bool Admit(VirtualEvent one)
    {
        lock (_gate)
        {
            if (!_frozen && !_ended) return true;
            if (!_ended)
            {
                _late.Add(one);
                return false;
            }
        }

        one.Abandon();
        return false;
    }

    private sealed class Waiter(ProcessTime process) : VirtualEvent
    {
        private bool _over;

        public override bool IsCurrent => true;

        public void Wait()
        {
            // No primitive that spins first: a thread that spins is not at rest.
            lock (this)
            {
                while (!_over) Monitor.Wait(this);
            }
        }

        public override void Begin()
        {
            if (process.Admit(this)) Abandon();
        }

        public override void Abandon()
        {
            lock (this)
            {
                _over = true;
                Monitor.Pulse(this);
            }
        }
    }

    private sealed class VirtualTimer(ProcessTime process, TimerCallback callback, object? state) : ITimer
    {
        private readonly ExecutionContext? _context = ExecutionContext.Capture();
        private readonly Lock _gate = new();
        private Firing? _next;
        private bool _disposed;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Firing? next = null;
            lock (_gate)
            {
                if (_disposed) return false;
                _next = dueTime < TimeSpan.Zero ? null : next = new Firing(this, period);
            }

            if (next is not null) process.Schedule(next, dueTime);
            return true;
        }

        public void Dispose()
        {
            lock (_gate) (_disposed, _next) = (true, null);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Fire()
        {
            if (_context is null) callback(state);
            else ExecutionContext.Run(_context, captured => callback(captured), state);
        }

        /// <summary>One time that the timer fires.</summary>
        private sealed class Firing(VirtualTimer timer, TimeSpan period) : VirtualEvent
        {
            public override bool IsCurrent
            {
                get
                {
                    lock (timer._gate) return timer._next == this;
                }
            }

            public override void Begin()
            {
                if (!timer.IsDue(this) || !timer.Admit(this)) return;
                Firing? next = null;
                lock (timer._gate)
                {
                    if (timer._next != this) return; // It was changed while it was late.
                    timer._next = period > TimeSpan.Zero ? next = new Firing(timer, period) : null;
                }

                if (next is not null) timer.Repeat(next, period);
                ThreadPool.UnsafeQueueUserWorkItem(static timer => timer.Fire(), timer, preferLocal: false);
            }

            public override void Abandon()
            {
            }
        }

        private bool IsDue(Firing firing)
        {
            lock (_gate) return _next == firing;
        }

        private bool Admit(Firing firing) => process.Admit(firing);

        private void Repeat(Firing next, TimeSpan period) => process.Schedule(next, period);
    }
}

namespace Granary.Tests.Support;

/// <summary>Time that jumps to the next timer whenever the whole process is at rest: hours of waiting take as long as the work in them.</summary>
/// <remarks>
/// What the code under test computes takes no time; only waiting does. Rest is told by <see cref="ProcessRest"/>, for all clocks of the process together:
/// clusters side by side wait for each other and then work side by side. Where a jump comes too early, something that was about to run seems slow; that may cause a
/// needless time-out, never a wrong result. Moments are rounded up to <see cref="Granularity"/>, so that what is due together runs together.
/// A process of a simulated cluster has a clock of its own, <see cref="NewProcess"/>: it can be frozen and set.
/// </remarks>
public sealed class VirtualTime : TimeProvider, IDisposable
{
    private readonly Lock _gate = new();
    private readonly PriorityQueue<VirtualEvent, (long Due, long Number)> _events = new();
    private readonly List<ProcessTime> _processes = [];
    private long _now; // Ticks since Start.
    private long _lastNumber;
    private int _holds;
    private bool _disposed;

    public VirtualTime()
    {
        Own = NewProcess();
        ProcessRest.Add(this);
    }

    /// <summary>1 ms: nothing that is simulated is faster.</summary>
    public static TimeSpan Granularity { get; } = TimeSpan.FromMilliseconds(1);

    public static DateTimeOffset Start { get; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>Time since <see cref="Start"/>.</summary>
    public TimeSpan Now => new(Volatile.Read(ref _now));

    /// <summary>The clock that is never frozen: the world's.</summary>
    private ProcessTime Own { get; }

    public ProcessTime NewProcess()
    {
        var process = new ProcessTime(this);
        lock (_gate) _processes.Add(process);
        return process;
    }

    public override DateTimeOffset GetUtcNow() => Start + Now;

    public override long GetTimestamp() => Volatile.Read(ref _now);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        Own.CreateTimer(callback, state, dueTime, period);

    /// <summary>Stops the clock until the result is disposed: what is between two runs costs nothing.</summary>
    public IDisposable Hold()
    {
        lock (_gate) _holds++;
        return new Held(this);
    }

    /// <summary>Ends the clock: no timer fires any more, and who waits goes on.</summary>
    public void Dispose()
    {
        VirtualEvent[] left;
        ProcessTime[] processes;
        lock (_gate)
        {
            _disposed = true;
            processes = [.. _processes];
            left = [.. _events.UnorderedItems.Select(item => item.Element)];
            _events.Clear();
        }

        ProcessRest.Remove(this);
        foreach (var process in processes) process.End();
        foreach (var one in left) one.Abandon();
    }

    /// <returns>False where the clock has ended.</returns>
    internal bool Schedule(VirtualEvent one, TimeSpan after)
    {
        lock (_gate)
        {
            if (_disposed) return false;
            var due = checked(_now + Math.Max(0, after.Ticks));
            _events.Enqueue(one, (due + (Granularity.Ticks - due % Granularity.Ticks) % Granularity.Ticks, ++_lastNumber));
        }

        ProcessRest.Wake();
        return true;
    }

    /// <summary>Whether a jump would do something.</summary>
    internal bool CanAdvance
    {
        get
        {
            lock (_gate) return _holds == 0 && TryPeek(out _);
        }
    }

    /// <summary>Jumps to the next event and begins all that are due then.</summary>
    internal void Advance()
    {
        List<VirtualEvent> due = [];
        lock (_gate)
        {
            if (_holds > 0 || !TryPeek(out var next)) return;
            Volatile.Write(ref _now, Math.Max(_now, next));
            while (TryPeek(out var moment) && moment <= _now) due.Add(_events.Dequeue());
        }

        foreach (var one in due) one.Begin();
    }

    /// <summary>The next event's moment; what was cancelled is dropped on the way. Under the lock.</summary>
    private bool TryPeek(out long due)
    {
        while (_events.TryPeek(out var one, out var priority))
        {
            if (one.IsCurrent)
            {
                due = priority.Due;
                return true;
            }

            _events.Dequeue();
        }

        due = 0;
        return false;
    }

    private sealed class Held(VirtualTime time) : IDisposable
    {
        private VirtualTime? _time = time;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _time, null) is not { } held) return;
            lock (held._gate) held._holds--;
            ProcessRest.Wake();
        }
    }
}

/// <summary>Something that happens at a moment of a <see cref="VirtualTime"/>.</summary>
internal abstract class VirtualEvent
{
    /// <summary>False where it was cancelled: it is no reason to jump.</summary>
    public abstract bool IsCurrent { get; }

    /// <summary>Its moment has come. It must not block.</summary>
    public abstract void Begin();

    /// <summary>Its moment will not come: the clock has ended.</summary>
    public abstract void Abandon();
}

using Orleans.Timers;

namespace Orleans.Runtime;

/// <summary>The timers of one activation.</summary>
internal sealed class GrainTimers(Activation activation)
{
    private readonly Lock _gate = new();
    private readonly HashSet<IDisposable> _timers = [];

    public Activation Activation => activation;

    public void Add(IDisposable timer)
    {
        lock (_gate)
        {
            _timers.Add(timer);
        }
    }

    public void Remove(IDisposable timer)
    {
        lock (_gate)
        {
            _timers.Remove(timer);
        }
    }

    public void StopAll()
    {
        IDisposable[] timers;
        lock (_gate)
        {
            timers = [.. _timers];
        }

        foreach (var timer in timers) timer.Dispose();
    }
}

internal sealed class TimerRegistry : ITimerRegistry
{
    public IGrainTimer RegisterGrainTimer<TState>(IGrainContext grainContext, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
    {
        ArgumentNullException.ThrowIfNull(grainContext);
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new GrainTimer<TState>((Activation)grainContext, callback, state, options.Interleave, options.KeepAlive);
        timer.Change(options.DueTime, options.Period);
        return timer;
    }
}

/// <summary>Fires as a call of the grain to itself; the next period begins when the callback has ended.</summary>
internal sealed class GrainTimer<TState> : IGrainTimer, ITimerTick
{
    private static readonly UnaryMethod<VoidResult> Tick = (UnaryMethod<VoidResult>)InterfaceDescriptor.Of(typeof(ITimerTick)).Methods[0];

    private readonly Activation _activation;
    private readonly Func<TState, CancellationToken, Task> _callback;
    private readonly TState _state;
    private readonly bool _interleave;
    private readonly bool _keepAlive;
    private readonly CancellationTokenSource _disposed = new();
    private readonly ITimer _timer;
    private TimeSpan _period = Timeout.InfiniteTimeSpan;
    private bool _isTicking;
    private bool _changed;

    public GrainTimer(Activation activation, Func<TState, CancellationToken, Task> callback, TState state, bool interleave, bool keepAlive)
    {
        _activation = activation;
        _callback = callback;
        _state = state;
        _interleave = interleave;
        _keepAlive = keepAlive;
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _timer = activation.Silo.Time.CreateTimer(
                static state => ((GrainTimer<TState>)state!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        activation.Timers.Add(this);
    }

    public void Change(TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime < TimeSpan.Zero && dueTime != Timeout.InfiniteTimeSpan) throw new ArgumentOutOfRangeException(nameof(dueTime), dueTime, "A due time is not negative, or infinite.");
        if (period < TimeSpan.Zero && period != Timeout.InfiniteTimeSpan) throw new ArgumentOutOfRangeException(nameof(period), period, "A period is not negative, or infinite.");
        if (_disposed.IsCancellationRequested) return;
        _period = period;
        _changed = true;
        if (_isTicking && dueTime == Timeout.InfiniteTimeSpan) return;
        _timer.Change(dueTime, Timeout.InfiniteTimeSpan);
    }

    public async Task TickAsync()
    {
        if (_disposed.IsCancellationRequested) return;
        _isTicking = true;
        _changed = false;
        try
        {
            await _callback(_state, _disposed.Token);
        }
        catch (Exception exception)
        {
            // The schedule goes on.
            if (!_disposed.IsCancellationRequested) _activation.Silo.LogTimerFailure(_activation.ToString(), exception);
        }

        _isTicking = false;
        if (!_changed && _period != Timeout.InfiniteTimeSpan && !_disposed.IsCancellationRequested) _timer.Change(_period, Timeout.InfiniteTimeSpan);
    }

    public void Dispose()
    {
        if (_disposed.IsCancellationRequested) return;
        _timer.Dispose();
        _activation.Timers.Remove(this);
        _disposed.Cancel();
    }

    private void Fire() => _activation.TryReceive(new TickCall(_activation, this));

    private sealed class TickCall(Activation activation, GrainTimer<TState> timer) : Call<VoidResult>(activation.Silo, activation.GrainId, Tick)
    {
        public override bool OneWay => true;

        public override bool AlwaysInterleave => timer._interleave;

        public override bool CountsAsUse => timer._keepAlive;

        protected override ValueTask<VoidResult> Invoke(CallTarget target) => VoidResult.From(timer.TickAsync());

        protected override VoidResult Hand(VoidResult answer, CallTarget from) => default;
    }
}

internal interface ITimerTick : IAddressable
{
    Task TickAsync();
}

using Granary.Engine.Kv;

namespace Granary.Engine;

/// <summary>Ends the leases of pins in time, though the engine may be asleep then.</summary>
/// <param name="wake">Lets the engine's thread look.</param>
internal sealed class LeaseClock(TimeProvider time, Action wake) : IDisposable
{
    private ITimer? _timer;
    private DateTimeOffset _set = DateTimeOffset.MaxValue;

    /// <summary>Ends what is due, and sets the timer for what comes next. Called by the engine's thread.</summary>
    public void End(KvPins pins)
    {
        if (pins.NextEnd == _set && _set == DateTimeOffset.MaxValue) return;
        var now = time.GetUtcNow();
        if (pins.NextEnd <= now) pins.EndLeases(now);
        if (pins.NextEnd == _set) return;

        _set = pins.NextEnd;
        _timer ??= time.CreateTimer(_ => wake(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _timer.Change(_set == DateTimeOffset.MaxValue ? Timeout.InfiniteTimeSpan : _set - now, Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer?.Dispose();
}

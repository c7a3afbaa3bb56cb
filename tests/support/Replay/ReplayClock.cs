namespace Granary.Tests.Support.Replay;

/// <summary>Virtual time, and what is to happen in it: in order of time, and of being planned.</summary>
internal sealed class ReplayClock : TimeProvider
{
    private readonly PriorityQueue<Action, (long At, long Order)> _planned = new();
    private long _now;
    private long _order;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public double Seconds => (double)_now / TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _now;

    public override DateTimeOffset GetUtcNow() => new(_now, TimeSpan.Zero);

    public void At(double seconds, Action action) => Plan((long)(seconds * TimeSpan.TicksPerSecond), action);

    public void After(double seconds, Action action) => Plan(_now + (long)(seconds * TimeSpan.TicksPerSecond), action);

    /// <returns><see langword="false"/> when nothing is planned.</returns>
    public bool Step()
    {
        if (!_planned.TryDequeue(out var action, out var when)) return false;
        _now = when.At;
        action();
        return true;
    }

    private void Plan(long at, Action action) => _planned.Enqueue(action, (Math.Max(at, _now), _order++));
}

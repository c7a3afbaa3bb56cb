namespace Granary.Grains.Models;

/// <summary>When a replica may be loaded again: the first time at once, then after pauses that double up to a bound.</summary>
internal sealed class RetryClock(ModelGrainOptions options, TimeProvider time)
{
    private int _failures;
    private long _loadedAt;
    private DateTimeOffset _notBefore;

    /// <summary>How long to wait; zero when it may be tried now.</summary>
    public TimeSpan Remaining
    {
        get
        {
            var remaining = _notBefore - time.GetUtcNow();
            return remaining > TimeSpan.Zero ? remaining : TimeSpan.Zero;
        }
    }

    public void Loaded() => _loadedAt = time.GetTimestamp();

    public void LoadFailed()
    {
        _failures++;
        _notBefore = time.GetUtcNow() + Pause();
    }

    /// <summary>The life that was loaded has ended. One that lasted is tried again at once; a row of short ones is slowed down.</summary>
    public void LifeEnded()
    {
        if (time.GetElapsedTime(_loadedAt) >= options.MaxRetryPause) _failures = 0;
        _notBefore = time.GetUtcNow() + Pause();
        _failures++;
    }

    /// <summary>Something has changed that may let it succeed: it is tried now, and what failed before is forgotten.</summary>
    public void Forget() => (_failures, _notBefore) = (0, default);

    private TimeSpan Pause()
    {
        if (_failures == 0) return TimeSpan.Zero;
        var doublings = Math.Min(_failures - 1, 30);
        var ticks = Math.Min((double)options.RetryPause.Ticks * (1L << doublings), options.MaxRetryPause.Ticks);
        return TimeSpan.FromTicks((long)ticks);
    }
}

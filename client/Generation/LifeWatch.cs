namespace Granary.Client;

/// <summary>Judges by a life's messages whether it is still there, and whether it still works.</summary>
/// <remarks>
/// The measure of silence is the life's own: it grows with the gaps that were really seen. Whoever was late himself blames nobody: his ticks tell him.
/// Not safe for several threads; its connection's lock guards it.
/// </remarks>
internal sealed class LifeWatch(SurvivalOptions options, TimeProvider time)
{
    /// <summary>Looks within one limit: so many, that a pause of this process cannot hide between two of them.</summary>
    private const int TicksOfLimit = 4;

    /// <summary>Limit, in the longest gaps lately seen.</summary>
    private const int GapsOfLimit = 4;

    /// <summary>Messages with the same count of steps before that means anything: one may have been on its way for long.</summary>
    private const int LeastSameSteps = 4;

    /// <summary>No silence is explained beyond this: calls are given up by then.</summary>
    private static readonly TimeSpan MostSilence = TimeSpan.FromSeconds(10);

    /// <summary>For how long a gap counts, at least; at most twice as long.</summary>
    private static readonly TimeSpan GapMemory = TimeSpan.FromSeconds(10);

    private long _heard;
    private long _advanced;
    private long _ticked;
    private long _memoryBegan;
    private TimeSpan _period;
    private TimeSpan _gap;
    private TimeSpan _gapBefore;
    private long _steps;
    private int _sameSteps;
    private double _stepSeconds;

    /// <summary>Whether there are sequences, so that messages are due.</summary>
    public bool IsOn { get; private set; }

    /// <summary>How long nothing may be heard.</summary>
    public TimeSpan SilenceLimit
    {
        get
        {
            var longest = GapsOfLimit * (_gap > _gapBefore ? _gap : _gapBefore);
            if (longest < options.SilenceLimit) return options.SilenceLimit;
            return longest < MostSilence ? longest : options.SilenceLimit > MostSilence ? options.SilenceLimit : MostSilence;
        }
    }

    /// <summary>The first sequence was admitted.</summary>
    /// <returns>When to look for the first time.</returns>
    public TimeSpan Begin()
    {
        IsOn = true;
        Forgive();
        return NextTick();
    }

    /// <summary>The last sequence has left.</summary>
    public void End() => IsOn = false;

    /// <param name="steps">Steps of the life so far.</param>
    /// <param name="stepSeconds">Its longest of late; 0 before the first.</param>
    /// <param name="hasTokens">Tokens are progress, whatever is counted.</param>
    public void Hear(long steps, double stepSeconds, bool hasTokens)
    {
        var now = time.GetTimestamp();
        if (IsOn) Remember(time.GetElapsedTime(_heard, now), now);
        _heard = now;
        _stepSeconds = stepSeconds;
        if (steps == _steps && !hasTokens)
        {
            _sameSteps++;
            return;
        }

        (_steps, _sameSteps, _advanced) = (steps, 0, now);
    }

    /// <summary>Looks at the clock.</summary>
    /// <returns>When to look again; null where the life has been silent for too long.</returns>
    public TimeSpan? Tick()
    {
        if (time.GetElapsedTime(_ticked) >= 2 * _period) Forgive();
        return time.GetElapsedTime(_heard) >= SilenceLimit ? null : NextTick();
    }

    /// <summary>Whether steps stand still beyond <see cref="SurvivalOptions.StallLimitOf"/>, as far as somebody has waited for them all the while.</summary>
    /// <param name="waitsSince">Timestamp since which a sequence could have been computed.</param>
    /// <param name="patience">How many times the limit.</param>
    public bool IsStalled(long waitsSince, int patience) =>
        _sameSteps >= LeastSameSteps && time.GetElapsedTime(Math.Max(_advanced, waitsSince)) > patience * options.StallLimitOf(_stepSeconds);

    /// <summary>Begins all clocks anew.</summary>
    private void Forgive()
    {
        _heard = _advanced = time.GetTimestamp();
        _sameSteps = 0;
    }

    private TimeSpan NextTick()
    {
        _ticked = time.GetTimestamp();
        return _period = SilenceLimit / TicksOfLimit;
    }

    private void Remember(TimeSpan gap, long now)
    {
        if (time.GetElapsedTime(_memoryBegan, now) > GapMemory) (_gapBefore, _gap, _memoryBegan) = (_gap, default, now);
        if (gap > _gap) _gap = gap;
    }
}

namespace Granary.Sharding.Steps;

/// <summary>What a shard's steps took so far.</summary>
/// <param name="Steps">How many ran.</param>
/// <param name="SecondsPerStep">Smoothed: from when the shard was free for a step and had its plan until the next stage or the engine had what it computed; 0 until measured.</param>
/// <param name="WaitSecondsPerStep">Of those, spent waiting for the stage before and the ranks beside; smoothed.</param>
public readonly record struct ShardTimes(long Steps, double SecondsPerStep, double WaitSecondsPerStep)
{
    /// <summary>A sample weighs a tenth, so some tens of steps forget what was.</summary>
    private const double Weight = 0.1;

    internal ShardTimes With(TimeSpan elapsed, TimeSpan waited) => new(
        Steps + 1, Smooth(SecondsPerStep, elapsed.TotalSeconds), Smooth(WaitSecondsPerStep, waited.TotalSeconds));

    private double Smooth(double average, double sample) => Steps == 0 ? sample : average + Weight * (sample - average);
}

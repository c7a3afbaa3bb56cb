namespace Granary.Grains.Routing;

/// <summary>Pauses between questions that fail: they double up to a bound, and begin anew after an answer.</summary>
internal sealed class RetryPause
{
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private TimeSpan _next = Shortest;

    /// <summary>The last question failed.</summary>
    public bool IsPausing { get; private set; }

    public void Reset() => (_next, IsPausing) = (Shortest, false);

    /// <summary>Returns at once when it is cancelled.</summary>
    public async Task WaitAsync(TimeProvider time, CancellationToken cancellationToken)
    {
        var pause = _next;
        (_next, IsPausing) = (pause * 2 < Longest ? pause * 2 : Longest, true);
        await Task.Delay(pause, time, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }
}

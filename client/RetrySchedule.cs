namespace Granary.Client;

/// <summary>When a request that nobody took is tried again: pauses that double, shortened at random, never shorter than asked for.</summary>
internal sealed class RetrySchedule(GranaryClientOptions options, TimeProvider time, Random random)
{
    private static readonly TimeSpan MaxDelay = TimeSpan.FromSeconds(30);
    private readonly Lock _gate = new();

    /// <summary>Waits until the next attempt is due.</summary>
    /// <param name="failed">Attempts so far, at least 1.</param>
    /// <param name="retryAfter">What the cluster asked for.</param>
    /// <param name="deadline">When the request must have been answered.</param>
    /// <param name="most">How many may fail; null for <see cref="GranaryClientOptions.MaxRetries"/>.</param>
    /// <returns>False, at once, where no attempt is left or the pause would outlast the deadline.</returns>
    public async Task<bool> WaitAsync(int failed, TimeSpan? retryAfter, DateTimeOffset deadline, CancellationToken cancellationToken, int? most = null)
    {
        if (failed > (most ?? options.MaxRetries)) return false;
        var pause = PauseAfter(failed, retryAfter);
        if (pause >= deadline - time.GetUtcNow()) return false;
        await Task.Delay(pause, time, cancellationToken);
        return true;
    }

    /// <summary>The pause after so many failed attempts.</summary>
    internal TimeSpan PauseAfter(int failed, TimeSpan? retryAfter)
    {
        double share;
        lock (_gate) share = 0.5 + (random.NextDouble() / 2);
        var own = TimeSpan.FromTicks(Math.Min(options.RetryBaseDelay.Ticks << (failed - 1), MaxDelay.Ticks)) * share;
        if (retryAfter is not { } asked || asked <= own) return own;
        // Everybody was told the same moment: those who were turned away together do not come back together.
        return asked + (options.RetryBaseDelay * (share - 0.5));
    }
}

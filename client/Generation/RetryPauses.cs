namespace Granary.Client;

/// <summary>Pauses between tries that go wrong one after another: none before the first, then doubled, each shortened at random by up to a half.</summary>
/// <remarks>Callers that were lost together do not come back together. Safe for any thread.</remarks>
internal sealed class RetryPauses(Random random)
{
    private static readonly TimeSpan Base = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(1);
    private readonly Lock _gate = new();

    /// <param name="failures">Tries that went wrong since something went right, at least 0.</param>
    public TimeSpan After(int failures)
    {
        if (failures <= 1) return TimeSpan.Zero;
        double share;
        lock (_gate) share = 0.5 + (random.NextDouble() / 2);
        return TimeSpan.FromTicks(Math.Min(Base.Ticks << Math.Min(failures - 2, 16), Most.Ticks)) * share;
    }
}

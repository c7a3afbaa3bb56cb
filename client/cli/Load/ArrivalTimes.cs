namespace Granary.Client.Cli.Load;

/// <summary>When requests of an open loop arrive, from its start.</summary>
internal static class ArrivalTimes
{
    /// <summary>The first arrival is one gap after the start.</summary>
    /// <param name="rate">Arrivals per second, above 0.</param>
    /// <param name="seed">The same seed gives the same times.</param>
    public static IEnumerable<TimeSpan> Of(Arrivals arrivals, double rate, int seed)
    {
        var random = new Random(seed);
        var seconds = 0.0;
        for (var i = 1; ; i++)
        {
            // Equal gaps are not added up: a sum of rounded gaps would drift from the rate.
            seconds = arrivals == Arrivals.Constant ? i / rate : seconds - (Math.Log(1 - random.NextDouble()) / rate);
            yield return TimeSpan.FromSeconds(seconds);
        }
    }
}

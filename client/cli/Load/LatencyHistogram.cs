namespace Granary.Client.Cli.Load;

/// <summary>Durations by logarithmic buckets: any number of them in bounded memory, percentiles within half a percent.</summary>
/// <remarks>Below a microsecond and above a day all count as one. Least, greatest and mean are exact. Not for concurrent use.</remarks>
internal sealed class LatencyHistogram
{
    /// <summary>Greatest error of a percentile, relative to it.</summary>
    public const double RelativeError = 0.005;

    private const double Growth = 1 + (2 * RelativeError);
    private const double LeastSeconds = 1e-6;
    private static readonly double LogGrowth = Math.Log(Growth);
    private readonly long[] _counts = new long[BucketOf(86_400) + 1];
    private double _sum;

    public long Count { get; private set; }

    /// <value>In seconds; 0 while there is nothing.</value>
    public double Min { get; private set; }

    /// <value>In seconds; 0 while there is nothing.</value>
    public double Max { get; private set; }

    /// <value>In seconds; 0 while there is nothing.</value>
    public double Mean => Count == 0 ? 0 : _sum / Count;

    public void Record(double seconds)
    {
        _counts[Math.Min(BucketOf(seconds), _counts.Length - 1)]++;
        Min = Count == 0 ? seconds : Math.Min(Min, seconds);
        Max = Math.Max(Max, seconds);
        _sum += seconds;
        Count++;
    }

    /// <summary>The least duration that at least <paramref name="fraction"/> of all do not exceed, in seconds; 0 while there is nothing.</summary>
    public double Percentile(double fraction)
    {
        var rank = Math.Max(1, (long)Math.Ceiling((fraction * Count) - 1e-9));
        var seen = 0L;
        for (var bucket = 0; bucket < _counts.Length; bucket++)
        {
            seen += _counts[bucket];
            if (seen >= rank) return Math.Clamp(Middle(bucket), Min, Max);
        }

        return 0;
    }

    /// <summary>Upper ends of the buckets that hold something, in seconds, with the fraction of all up to there.</summary>
    public IEnumerable<(double Seconds, double Fraction)> Cumulative()
    {
        var seen = 0L;
        for (var bucket = 0; bucket < _counts.Length; bucket++)
        {
            if (_counts[bucket] == 0) continue;
            seen += _counts[bucket];
            yield return (Math.Clamp(LeastSeconds * Math.Pow(Growth, bucket), Min, Max), (double)seen / Count);
        }
    }

    /// <summary>Bucket b &gt; 0 holds durations in (least·growth^(b-1), least·growth^b].</summary>
    private static int BucketOf(double seconds) => seconds <= LeastSeconds ? 0 : (int)Math.Ceiling(Math.Log(seconds / LeastSeconds) / LogGrowth);

    private static double Middle(int bucket) => LeastSeconds * Math.Pow(Growth, bucket - 0.5);
}

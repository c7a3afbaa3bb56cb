using System.Diagnostics.Metrics;

namespace Granary.Client;

/// <summary>How often streams went on in another life, why, and how long their readers waited for it.</summary>
internal sealed class SurvivalMetrics
{
    private static readonly double[] PauseBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    private readonly Counter<long> _continuations;
    private readonly Histogram<double> _pause;

    /// <param name="meters">Null for a meter of its own, which every listener of the process hears.</param>
    public SurvivalMetrics(IMeterFactory? meters)
    {
        var meter = meters?.Create(GrainGenerationClient.MeterName) ?? new Meter(GrainGenerationClient.MeterName);
        _continuations = meter.CreateCounter<long>("granary.stream.continuations", null, "Streams that went on in another life of a replica.");
        _pause = meter.CreateHistogram(
            "granary.stream.continuation.pause", "s", "From the loss of a life to the next one's admission of the request.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = PauseBounds });
    }

    public void Continued(string model, LossReason reason, TimeSpan pause)
    {
        var name = new KeyValuePair<string, object?>("model_name", model);
        var why = new KeyValuePair<string, object?>("reason", NameOf(reason));
        _continuations.Add(1, name, why);
        _pause.Record(pause.TotalSeconds, name, why);
    }

    public static string NameOf(LossReason reason) => reason switch
    {
        LossReason.Crash => "crash",
        LossReason.Stall => "stall",
        LossReason.Drain => "drain",
        LossReason.Missing => "missing",
        var other => throw new ArgumentOutOfRangeException(nameof(reason), other, "Unknown reason."),
    };
}

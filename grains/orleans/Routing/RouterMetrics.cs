using System.Diagnostics.Metrics;

namespace Granary.Grains.Routing;

/// <summary>How long this silo's routers take to decide, and how well they foretell what replicas have in their caches.</summary>
internal sealed class RouterMetrics
{
    public const string MeterName = "Granary.Router";

    private readonly Histogram<double> _decision;

    /// <param name="meters">Of the host; null where it measures nothing.</param>
    public RouterMetrics(IMeterFactory? meters = null)
    {
        var meter = meters?.Create(MeterName) ?? new Meter(MeterName);
        _decision = meter.CreateHistogram(
            "granary.router.decision", "s", "From a request's arrival at the router to its ticket or refusal.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1, 1] });
    }

    public void Decided(string model, TimeSpan elapsed) => _decision.Record(elapsed.TotalSeconds, new KeyValuePair<string, object?>("model_name", model));
}

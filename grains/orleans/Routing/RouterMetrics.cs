using System.Diagnostics.Metrics;

namespace Granary.Grains.Routing;

/// <summary>How long this silo's routers take to decide, and how well they foretell what replicas have in their caches.</summary>
public sealed class RouterMetrics
{
    public const string MeterName = "Granary.Router";

    private readonly Histogram<double> _decision;
    private readonly Counter<long> _predicted;
    private readonly Counter<long> _actual;
    private readonly Counter<long> _phantom;

    /// <param name="meters">Of the host; null where it measures nothing.</param>
    public RouterMetrics(IMeterFactory? meters = null)
    {
        var meter = meters?.Create(MeterName) ?? new Meter(MeterName);
        _decision = meter.CreateHistogram(
            "granary.router.decision", "s", "From a request's arrival at the router to its ticket or refusal.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1, 1] });
        _predicted = meter.CreateCounter<long>("granary.router.predicted_hit_tokens", null, "Prompt tokens that replicas were expected to have in their caches, of requests that told what they found.");
        _actual = meter.CreateCounter<long>("granary.router.actual_hit_tokens", null, "Prompt tokens that they had.");
        _phantom = meter.CreateCounter<long>("granary.router.phantom_hit_tokens", null, "Prompt tokens that were expected there and were not there.");
    }

    /// <summary>A request's first token told what its replica had of the prompt.</summary>
    internal void Told(string model, int predicted, int actual)
    {
        var tag = new KeyValuePair<string, object?>("model_name", model);
        _predicted.Add(predicted, tag);
        _actual.Add(actual, tag);
        _phantom.Add(Math.Max(0, predicted - actual), tag);
    }

    internal void Decided(string model, TimeSpan elapsed) => _decision.Record(elapsed.TotalSeconds, new KeyValuePair<string, object?>("model_name", model));
}

using System.Diagnostics.Metrics;

namespace Granary.Silo.Metrics;

/// <summary>How the storage of grains' states answers this silo.</summary>
internal sealed class StorageMetrics
{
    public const string MeterName = "Granary.Storage";

    private readonly Histogram<double> _duration;
    private readonly Counter<long> _failures;
    private readonly Counter<long> _conflicts;

    public StorageMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _duration = meter.CreateHistogram(
            "granary.storage.duration", "s", "From asking the storage to its answer.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] });
        _failures = meter.CreateCounter<long>("granary.storage.failures", null, "Askings without an answer in time, or with a wrong one.");
        _conflicts = meter.CreateCounter<long>("granary.storage.conflicts", null, "States that somebody else had written since they were read.");
    }

    /// <param name="operation"><c>read</c>, <c>write</c> or <c>clear</c>.</param>
    public void Answered(string operation, TimeSpan elapsed) => _duration.Record(elapsed.TotalSeconds, new KeyValuePair<string, object?>("operation", operation));

    public void Failed(string operation) => _failures.Add(1, new KeyValuePair<string, object?>("operation", operation));

    public void Conflict(string operation) => _conflicts.Add(1, new KeyValuePair<string, object?>("operation", operation));
}

using System.Diagnostics.Metrics;

namespace Granary.Silo.Metrics;

/// <summary>Listens to this host's meters and keeps what a scrape needs.</summary>
internal sealed class MetricCollector : IDisposable
{
    private static readonly double[] DefaultBounds = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];

    private readonly MeterListener _listener = new();
    private readonly Lock _lock = new();
    private readonly List<MetricFamily> _families = [];

    /// <param name="meters">Only meters of this factory are heard: another host in the process has its own.</param>
    public MetricCollector(IMeterFactory meters)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (!ReferenceEquals(instrument.Meter.Scope, meters) || !instrument.Meter.Name.StartsWith("Granary.", StringComparison.Ordinal)) return;
            var family = Create(instrument);
            lock (_lock) _families.Add(family);
            listener.EnableMeasurementEvents(instrument, family);
        };
        _listener.SetMeasurementEventCallback<double>((_, value, tags, state) => Record((MetricFamily)state!, value, tags));
        _listener.SetMeasurementEventCallback<long>((_, value, tags, state) => Record((MetricFamily)state!, value, tags));
        _listener.SetMeasurementEventCallback<int>((_, value, tags, state) => Record((MetricFamily)state!, value, tags));
        _listener.Start();
    }

    /// <summary>Asks the observable instruments, and returns all of them by name.</summary>
    public IReadOnlyList<MetricFamily> Collect()
    {
        lock (_lock)
        {
            foreach (var family in _families)
            {
                if (family.Instrument.IsObservable) family.Clear();
            }

            _listener.RecordObservableInstruments();
            return [.. _families.OrderBy(family => family.Instrument.Name, StringComparer.Ordinal)];
        }
    }

    public void Dispose() => _listener.Dispose();

    private static MetricFamily Create(Instrument instrument) => instrument switch
    {
        Histogram<double> histogram => new(instrument, MetricKind.Histogram, [.. histogram.Advice?.HistogramBucketBoundaries ?? DefaultBounds]),
        Counter<long> or Counter<int> or Counter<double> or ObservableCounter<long> or ObservableCounter<int> or ObservableCounter<double> =>
            new(instrument, MetricKind.Counter, null),
        _ => new(instrument, MetricKind.Gauge, null),
    };

    private static void Record(MetricFamily family, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var series = family.For(tags);
        if (family.Kind == MetricKind.Histogram)
            series.Record(value);
        else if (family.Kind == MetricKind.Counter && !family.Instrument.IsObservable)
            series.Add(value);
        else
            series.Set(value);
    }
}

using System.Diagnostics.Metrics;

namespace Granary.Silo.Metrics;

/// <summary>The values of one instrument under one set of labels.</summary>
internal sealed class MetricSeries(KeyValuePair<string, object?>[] tags, double[]? bounds)
{
    private readonly Lock _lock = new();
    private readonly long[]? _buckets = bounds is null ? null : new long[bounds.Length + 1];
    private double _value;
    private long _count;

    /// <summary>In the order they were recorded with.</summary>
    public ReadOnlySpan<KeyValuePair<string, object?>> Tags => tags;

    public bool Has(ReadOnlySpan<KeyValuePair<string, object?>> others)
    {
        if (others.Length != tags.Length) return false;
        for (var i = 0; i < tags.Length; i++)
        {
            if (tags[i].Key != others[i].Key || !Equals(tags[i].Value, others[i].Value)) return false;
        }

        return true;
    }

    public void Add(double value)
    {
        lock (_lock) _value += value;
    }

    public void Set(double value)
    {
        lock (_lock) _value = value;
    }

    /// <summary>A bound belongs to its bucket: the bucket counts what is at most the bound.</summary>
    public void Record(double value)
    {
        var bucket = Array.BinarySearch(bounds!, value);
        if (bucket < 0) bucket = ~bucket;
        lock (_lock)
        {
            _buckets![bucket]++;
            _value += value;
            _count++;
        }
    }

    /// <summary>Value, or sum of a histogram; its count; its buckets, not cumulated.</summary>
    public (double Value, long Count, long[] Buckets) Read()
    {
        lock (_lock) return (_value, _count, _buckets is null ? [] : [.. _buckets]);
    }
}

/// <summary>What is kept of one instrument.</summary>
internal sealed class MetricFamily(Instrument instrument, MetricKind kind, double[]? bounds)
{
    /// <summary>Past this many sets of labels, values go to one series labelled <c>otel_metric_overflow</c>, as in OpenTelemetry.</summary>
    private const int MaxSeries = 1000;

    private readonly Lock _lock = new();
    private MetricSeries[] _series = [];

    public Instrument Instrument => instrument;

    public MetricKind Kind => kind;

    public double[]? Bounds => bounds;

    public IReadOnlyList<MetricSeries> Series => Volatile.Read(ref _series);

    public MetricSeries For(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        // Few sets of labels an instrument: a scan costs less than a hash of boxed values, and allocates nothing.
        foreach (var series in Volatile.Read(ref _series))
        {
            if (series.Has(tags)) return series;
        }

        lock (_lock)
        {
            foreach (var series in _series)
            {
                if (series.Has(tags)) return series;
            }

            if (_series.Length > MaxSeries) return _series[^1];
            var overflow = _series.Length == MaxSeries;
            var added = new MetricSeries(overflow ? [new("otel_metric_overflow", true)] : tags.ToArray(), bounds);
            Volatile.Write(ref _series, [.. _series, added]);
            return added;
        }
    }

    /// <summary>Forgets what observation does not repeat.</summary>
    public void Clear()
    {
        lock (_lock) Volatile.Write(ref _series, []);
    }
}

internal enum MetricKind
{
    Counter,
    Gauge,
    Histogram,
}

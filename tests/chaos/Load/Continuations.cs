using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Granary.Tests.Chaos;

/// <summary>Counts streams of this process that went on in another life, by the reason, as the client's own metrics tell.</summary>
internal sealed class Continuations : IDisposable
{
    private readonly ConcurrentDictionary<string, int> _counts = new();
    private readonly MeterListener _listener = new();

    public Continuations()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name == "granary.stream.continuations") listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((_, count, tags, _) =>
        {
            foreach (var (key, value) in tags)
            {
                if (key == "reason") _counts.AddOrUpdate((string)value!, (int)count, (_, before) => before + (int)count);
            }
        });
        _listener.Start();
    }

    /// <summary>So many for a reason: <c>crash</c>, <c>stall</c>, <c>drain</c> or <c>missing</c>.</summary>
    public int Of(string reason) => _counts.GetValueOrDefault(reason);

    /// <summary>Of all but moves away from replicas that ended in order.</summary>
    public int Losses => _counts.Where(count => count.Key != "drain").Sum(count => count.Value);

    public void Dispose() => _listener.Dispose();
}

using Granary.Grains;

namespace Granary.Silo.Hosting;

/// <summary>Tells planners how fast this machine is; it is measured when the first asks.</summary>
internal sealed class MeasuredDevice(SiloPlace place, TimeProvider time) : IDeviceFigures
{
    private readonly Lazy<DeviceFigures> _figures = new(() => DeviceProbe.Measure(place.Group.CoresOf(place.Index), time));

    public double FlopsPerSecond => _figures.Value.FlopsPerSecond;

    public double BytesPerSecond => _figures.Value.BytesPerSecond;
}

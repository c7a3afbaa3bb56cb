using Granary.Grains;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Tells planners how fast this machine is. It is measured once, when first asked for, and only where there is something to plan: it takes a moment and memory. Of devices other than the CPU planners know what is usual of the kind.</summary>
internal sealed class MeasuredDevice(SiloPlace place, IOptions<GranaryOptions> options, TimeProvider time) : IDeviceFigures
{
    private static readonly DeviceFigures Unmeasured = new(0, 0);

    public double FlopsPerSecond => Figures.FlopsPerSecond;

    public double BytesPerSecond => Figures.BytesPerSecond;

    private DeviceFigures Figures => !options.Value.Device.IsCpu || (options.Value.IsWhole && LinkSettings.IsAlone(options.Value)) ? Unmeasured : place.Group.Measure(time);
}

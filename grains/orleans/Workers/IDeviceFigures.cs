namespace Granary.Grains;

/// <summary>How fast this silo's device is. The silo gives it: it can measure.</summary>
public interface IDeviceFigures
{
    /// <summary>Multiply-adds a second of one core, or of the device; 0 where it was not measured.</summary>
    double FlopsPerSecond { get; }

    /// <summary>Bytes a second read from its memory; 0 where it was not measured.</summary>
    double BytesPerSecond { get; }
}

/// <summary>Nothing was measured: a planner takes all workers for equal.</summary>
internal sealed class NoDeviceFigures : IDeviceFigures
{
    public double FlopsPerSecond => 0;

    public double BytesPerSecond => 0;
}

namespace Granary.Routing;

/// <summary>The values that decisions need; what they mean to an operator stands with the router's options.</summary>
public sealed record RoutingSettings
{
    /// <summary>A booking still counts by itself while no load was asked for later than this after it.</summary>
    public TimeSpan SettleTime { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A booking that nobody gives back is dropped after this long.</summary>
    public TimeSpan BookingLease { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Most bookings at a time.</summary>
    public int MaxBookings { get; init; } = 65_536;

    /// <summary>Replicas whose cost is within this many seconds of the lowest count as equal; the prefix then decides.</summary>
    public double TieSeconds { get; init; } = 0.002;

    /// <summary>Seconds per prefill token, until any replica has measured its own.</summary>
    public double AssumedSecondsPerPrefillToken { get; init; } = 0.001;

    /// <summary>Seconds per decode step, until any replica has measured its own.</summary>
    public double AssumedSecondsPerDecodeStep { get; init; } = 0.02;

    /// <summary>Seconds to bring a token's keys and values from the host's memory to the device.</summary>
    public double SecondsPerHostToken { get; init; } = 1e-5;

    /// <summary>The same from a disk of the host.</summary>
    public double SecondsPerDiskToken { get; init; } = 1e-4;
}

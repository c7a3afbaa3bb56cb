using System.ComponentModel.DataAnnotations;
using Granary.Routing;
using Granary.Routing.Policies;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>What a router believes of requests on their way, and of replicas that have not measured anything yet.</summary>
public sealed class RouterOptions : IValidatableObject
{
    /// <summary>How replicas are chosen, by name (<see cref="RoutingPolicies.Names"/>).</summary>
    /// <value>Default <c>seconds</c>, ours; the others are there to be compared with it.</value>
    [Required]
    public string Policy { get; set; } = RoutingPolicies.Default;

    /// <summary>A booking still counts by itself while no load was asked for later than this after it.</summary>
    /// <value>Default 100 ms: the request's way from the ticket into the replica's own figures.</value>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00")]
    public TimeSpan SettleTime { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A booking that nobody gives back is dropped after this long.</summary>
    /// <value>Default 10 min: longer than a generation, and a caller that died costs nothing after it.</value>
    [Range(typeof(TimeSpan), "00:00:00.1", "1.00:00:00")]
    public TimeSpan BookingLease { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>Most bookings at a time; a request beyond them is told to come again.</summary>
    /// <value>Default 65,536.</value>
    [Range(1, 16_777_216)]
    public int MaxBookings { get; set; } = 65_536;

    /// <summary>Replicas whose cost is within this many seconds of the lowest count as equal; the prefix then decides.</summary>
    /// <value>Default 0.002 s: less than a decode step, so that a single booking already tips the balance.</value>
    [Range(0.0, 60.0)]
    public double TieSeconds { get; set; } = 0.002;

    /// <summary>Seconds per prefill token, until any replica has measured its own.</summary>
    /// <value>Default 0.001 s: of the order of a small model on two cores.</value>
    [Range(1e-9, 60.0)]
    public double AssumedSecondsPerPrefillToken { get; set; } = 0.001;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!RoutingPolicies.Names.Contains(Policy))
            yield return new($"Policy is '{Policy}'; it must be one of {string.Join(", ", RoutingPolicies.Names)}.", [nameof(Policy)]);
    }

    internal RoutingSettings ToSettings() => new()
    {
        SettleTime = SettleTime,
        BookingLease = BookingLease,
        MaxBookings = MaxBookings,
        TieSeconds = TieSeconds,
        AssumedSecondsPerPrefillToken = AssumedSecondsPerPrefillToken,
    };
}

[OptionsValidator]
internal sealed partial class RouterOptionsValidator : IValidateOptions<RouterOptions>;

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

    /// <summary>The same as a share of what the whole prompt would take to compute: more than that is not known of what other routers have just sent.</summary>
    /// <remarks>Replicas tell of it within a tenth of a second; routers that all take the one best replica meanwhile would all be wrong.</remarks>
    public double TieShare { get; init; } = 0.1;

    /// <summary>What a second of computing weighs against a second of waiting: it also delays whoever comes behind, by three times as much where prompts take three quarters of the time (1 / (1 - utilization)).</summary>
    public double RecomputeWeight { get; init; } = 4;

    /// <summary>What leaving a conversation's blocks behind weighs, against a second of waiting: as many turns may follow. Of a prompt of which a cache has a part, it is saved by the square of that share.</summary>
    public double ConversationWeight { get; init; } = 20;

    /// <summary>Of a prompt that takes longer to compute, so much counts as what later turns would want; what a long one loses counts in <see cref="RecomputeWeight"/>.</summary>
    public double ConversationSeconds { get; init; } = 0.05;

    /// <summary>What each token that sequences hold in a cache weighs, as a share of computing one: each step that decodes reads them. Weighed more, it has all routers see one replica as the best.</summary>
    public double HeldTokenShare { get; init; } = 0.05;

    /// <summary>Tokens that a sequence counts as holding besides its own: also a short one takes its share of each step.</summary>
    public int SequenceTokens { get; init; } = 256;

    /// <summary>Sequences more than the mean that a replica may have before each further one weighs by itself, and more with each: what holds them together may be a head that all prompts share.</summary>
    public int CrowdSequences { get; init; } = 8;

    /// <summary>Seconds per prefill token, until any replica has measured its own.</summary>
    public double AssumedSecondsPerPrefillToken { get; init; } = 0.001;

    /// <summary>Seconds to bring a token's keys and values from the host's memory to the device.</summary>
    public double SecondsPerHostToken { get; init; } = 1e-5;

    /// <summary>The same from a disk of the host.</summary>
    public double SecondsPerDiskToken { get; init; } = 1e-4;
}

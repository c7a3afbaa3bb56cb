using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>What it costs to send a request to a replica, in seconds.</summary>
/// <param name="Wait">Until the prompts before it are computed.</param>
/// <param name="Transfer">To bring blocks of its prefix from slower memory to the device.</param>
/// <param name="Prefill">To compute what of its prompt no cache has.</param>
/// <param name="Pressure">What the sequences there add to each other's steps.</param>
public readonly record struct RouteCost(double Wait, double Transfer, double Prefill, double Pressure)
{
    public double FirstToken => Wait + Transfer + Prefill;

    public double Total => FirstToken + Pressure;

    public static RouteCost Of(in ReplicaView replica, RouteRequest request, MeanSpeeds mean, RoutingSettings settings)
    {
        var speeds = mean.For(replica.Load);
        var pending = replica.Load?.PendingPrefillTokens ?? 0;
        var wait = replica.Load is { PendingPrefillSeconds: > 0 } load ? load.PendingPrefillSeconds : speeds.Prefill(0, pending);
        var cached = (long)CachedTokens(replica, request);
        var prefill = speeds.Prefill(cached, request.PromptTokens - cached);
        var transfer = replica.Replica.BlockTokens
            * (replica.Overlap.Host * settings.SecondsPerHostToken + replica.Overlap.Disk * settings.SecondsPerDiskToken);
        return new(wait + replica.Unseen.PrefillSeconds, transfer, prefill, replica.Sequences * speeds.DecodeStep);
    }

    /// <summary>Leading tokens that need not be computed; the last one always is.</summary>
    public static int CachedTokens(in ReplicaView replica, RouteRequest request) =>
        (int)Math.Min((long)replica.Overlap.Blocks * replica.Replica.BlockTokens, request.PromptTokens - 1);
}

using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>What it costs to send a request to a replica, in seconds.</summary>
/// <param name="Wait">Until the prompts before it are computed.</param>
/// <param name="Transfer">To bring blocks of its prefix from slower memory to the device.</param>
/// <param name="Prefill">To compute what of its prompt no cache has.</param>
/// <param name="Delay">What computing it takes from others besides.</param>
/// <param name="Pressure">What the sequences there and it take from each other while they decode.</param>
/// <param name="Crowding">That it has many more sequences than others: however near a prefix is, steps of a crowd are slow for all of it.</param>
/// <param name="Leaving">What the conversation that it seems to go on leaves behind elsewhere: its later turns want the same blocks.</param>
public readonly record struct RouteCost(double Wait, double Transfer, double Prefill, double Delay, double Pressure, double Crowding, double Leaving)
{
    public double FirstToken => Wait + Transfer + Prefill;

    /// <summary>Of a wait that may be over before the request comes, only the rest counts.</summary>
    public double Total => Math.Max(0, Wait - PassedSeconds) + Transfer + Prefill + Delay + Pressure + Crowding + Leaving;

    /// <summary>How much of what a replica told may have passed meanwhile: news are so old, and sums of steps no more exact.</summary>
    private static double PassedSeconds => ReplicaWatch.Pause.TotalSeconds;

    public static RouteCost Of(in ReplicaView replica, RouteRequest request, MeanSpeeds mean, RoutingSettings settings)
    {
        var speeds = mean.For(replica.Load);
        var block = (long)replica.Replica.BlockTokens;
        var pending = replica.Load?.PendingPrefillTokens ?? 0;
        var wait = replica.Load is { PendingPrefillSeconds: > 0 } load ? load.PendingPrefillSeconds : speeds.Prefill(0, pending);
        var cached = (long)CachedTokens(replica, request);
        var prefill = speeds.Prefill(cached, request.PromptTokens - cached);
        var transfer = block * (replica.Overlap.Host * settings.SecondsPerHostToken + replica.Overlap.Disk * settings.SecondsPerDiskToken);
        var held = (replica.Load?.KvBlocksUsed ?? 0) * block + replica.Unseen.PromptTokens + (long)replica.Sequences * settings.SequenceTokens;
        var crowd = Math.Max(0, replica.Sequences - mean.Sequences - settings.CrowdSequences);
        return new(
            wait + replica.Unseen.PrefillSeconds,
            transfer,
            prefill,
            (settings.RecomputeWeight - 1) * prefill,
            settings.HeldTokenShare * held * speeds.PrefillToken,
            settings.HeldTokenShare * settings.SequenceTokens * speeds.PrefillToken * crowd * crowd,
            settings.ConversationWeight * Math.Min(settings.ConversationSeconds, speeds.Prefill(0, request.PromptTokens)) * (1 - Square((double)cached / request.PromptTokens)));
    }

    /// <summary>A head that many prompts share says little of where they belong; all but the last words of one say nearly everything.</summary>
    private static double Square(double share) => share * share;

    /// <summary>Leading tokens that need not be computed; the last one always is.</summary>
    public static int CachedTokens(in ReplicaView replica, RouteRequest request) =>
        (int)Math.Min((long)replica.Overlap.Blocks * replica.Replica.BlockTokens, request.PromptTokens - 1);
}

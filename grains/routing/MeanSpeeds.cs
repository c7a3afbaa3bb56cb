using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing;

/// <summary>How fast replicas are: a replica without measurements is taken to be as fast as the mean of those that have them.</summary>
/// <param name="PrefillToken">Seconds per prefill token.</param>
/// <param name="PrefillContext">Seconds that each token before it adds.</param>
/// <param name="DecodeStep">Seconds per step that only decodes.</param>
public readonly record struct MeanSpeeds(double PrefillToken, double PrefillContext, double DecodeStep)
{
    public static MeanSpeeds Of(ReadOnlySpan<ReplicaView> replicas, RoutingSettings settings)
    {
        double prefill = 0, context = 0, decode = 0;
        int prefills = 0, decodes = 0;
        foreach (ref readonly var replica in replicas)
        {
            if (replica.Load is not { } load) continue;
            if (load.SecondsPerPrefillToken > 0)
                (prefill, context, prefills) = (prefill + load.SecondsPerPrefillToken, context + load.SecondsPerPrefillContext, prefills + 1);
            if (load.SecondsPerDecodeStep > 0) (decode, decodes) = (decode + load.SecondsPerDecodeStep, decodes + 1);
        }

        return new(
            prefills > 0 ? prefill / prefills : settings.AssumedSecondsPerPrefillToken,
            prefills > 0 ? context / prefills : 0,
            decodes > 0 ? decode / decodes : settings.AssumedSecondsPerDecodeStep);
    }

    /// <summary>A replica's own speeds, where it has measured them.</summary>
    public MeanSpeeds For(ReplicaLoad? load)
    {
        var speeds = this;
        if (load is { SecondsPerPrefillToken: > 0 })
            speeds = speeds with { PrefillToken = load.SecondsPerPrefillToken, PrefillContext = load.SecondsPerPrefillContext };
        return load is { SecondsPerDecodeStep: > 0 } ? speeds with { DecodeStep = load.SecondsPerDecodeStep } : speeds;
    }

    /// <summary>Seconds to compute tokens that follow others: <c>a n + b (c + (c+1) + … + (c+n-1))</c>.</summary>
    /// <param name="cached">Tokens before them.</param>
    public double Prefill(long cached, long tokens) =>
        tokens * (PrefillToken + PrefillContext * (cached + (tokens - 1) / 2.0));
}

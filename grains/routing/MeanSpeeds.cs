using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing;

/// <summary>How fast replicas are: a replica without measurements is taken to be as fast as the mean of those that have them.</summary>
/// <param name="PrefillToken">Seconds per prefill token.</param>
/// <param name="PrefillContext">Seconds that each token before it adds.</param>
/// <param name="TurnoverSeconds">How old the blocks are that full caches give up next; 0 where none is full.</param>
public readonly record struct MeanSpeeds(double PrefillToken, double PrefillContext, double TurnoverSeconds = 0)
{
    /// <summary>Measurements of equal replicas differ by chance, of one that has computed little by the most: taken for real they would keep requests away, and it would never measure again. Other kinds of device differ by more.</summary>
    private const double LeastRatio = 2;

    public static MeanSpeeds Of(ReadOnlySpan<ReplicaView> replicas, RoutingSettings settings)
    {
        double prefill = 0, context = 0, turnover = 0;
        int prefills = 0, turnovers = 0;
        foreach (ref readonly var replica in replicas)
        {
            if (double.IsFinite(replica.TurnoverSeconds)) (turnover, turnovers) = (turnover + replica.TurnoverSeconds, turnovers + 1);
            if (replica.Load is not { SecondsPerPrefillToken: > 0 } load) continue;
            (prefill, context, prefills) = (prefill + load.SecondsPerPrefillToken, context + load.SecondsPerPrefillContext, prefills + 1);
        }

        return new(
            prefills > 0 ? prefill / prefills : settings.AssumedSecondsPerPrefillToken,
            prefills > 0 ? context / prefills : 0,
            turnovers > 0 ? turnover / turnovers : 0);
    }

    /// <summary>A replica's own speeds, where it has measured others than the mean.</summary>
    public MeanSpeeds For(ReplicaLoad? load) =>
        load is { SecondsPerPrefillToken: > 0 } && (load.SecondsPerPrefillToken > LeastRatio * PrefillToken || LeastRatio * load.SecondsPerPrefillToken < PrefillToken)
            ? this with { PrefillToken = load.SecondsPerPrefillToken, PrefillContext = load.SecondsPerPrefillContext }
            : this;

    /// <summary>Seconds to compute tokens that follow others: <c>a n + b (c + (c+1) + … + (c+n-1))</c>.</summary>
    /// <param name="cached">Tokens before them.</param>
    public double Prefill(long cached, long tokens) =>
        tokens * (PrefillToken + PrefillContext * (cached + (tokens - 1) / 2.0));
}

using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing;

/// <summary>How fast replicas are: a replica without measurements is taken to be as fast as the mean of those that have them.</summary>
/// <param name="PrefillToken">Seconds per prefill token.</param>
/// <param name="PrefillContext">Seconds that each token before it adds.</param>
/// <param name="Sequences">How many a replica has.</param>
public readonly record struct MeanSpeeds(double PrefillToken, double PrefillContext, double Sequences = 0)
{
    /// <summary>Within this ratio replicas count as equal: they are not told apart by chance, and routers do not all run to the one that seems a little faster. Other kinds of device differ by more.</summary>
    private const double LeastRatio = 2;

    /// <summary>Steps after which what a replica has measured weighs as much as the mean of all.</summary>
    /// <remarks>The first prompts are too few to tell tokens from context: a replica that took them for its speed would be sent nothing, and never measure again.</remarks>
    private const double SettlingSteps = 512;

    public static MeanSpeeds Of(ReadOnlySpan<ReplicaView> replicas, RoutingSettings settings)
    {
        double prefill = 0, context = 0, weights = 0;
        long sequences = 0;
        foreach (ref readonly var replica in replicas)
        {
            sequences += replica.Sequences;
            if (replica.Load is not { SecondsPerPrefillToken: > 0 } load) continue;
            var weight = WeightOf(load);
            (prefill, context, weights) = (prefill + weight * load.SecondsPerPrefillToken, context + weight * load.SecondsPerPrefillContext, weights + weight);
        }

        var mean = (double)sequences / Math.Max(1, replicas.Length);
        return weights > 0 ? new(prefill / weights, context / weights, mean) : new(settings.AssumedSecondsPerPrefillToken, 0, mean);
    }

    /// <summary>A replica's own speeds, drawn towards the mean the less it has worked, where they differ from it even so.</summary>
    public MeanSpeeds For(ReplicaLoad? load)
    {
        if (load is not { SecondsPerPrefillToken: > 0 }) return this;
        var weight = WeightOf(load);
        var token = PrefillToken + weight * (load.SecondsPerPrefillToken - PrefillToken);
        if (token <= LeastRatio * PrefillToken && LeastRatio * token >= PrefillToken) return this;
        return this with { PrefillToken = token, PrefillContext = PrefillContext + weight * (load.SecondsPerPrefillContext - PrefillContext) };
    }

    /// <summary>Between 0 and 1; never 0, so that where all are new their mean is one.</summary>
    private static double WeightOf(ReplicaLoad load) => (load.Steps + 1) / (load.Steps + 1 + SettlingSteps);

    /// <summary>Seconds to compute tokens that follow others: <c>a n + b (c + (c+1) + … + (c+n-1))</c>.</summary>
    /// <param name="cached">Tokens before them.</param>
    public double Prefill(long cached, long tokens) =>
        tokens * (PrefillToken + PrefillContext * (cached + (tokens - 1) / 2.0));
}

namespace Granary.Routing.Policies;

/// <summary>Extremes over candidates, with ties decided by chance as the policies of others do.</summary>
internal static class Picks
{
    public static int LeastRequests(RoutingView view, Random random)
    {
        var scores = new double[view.Candidates.Length];
        for (var i = 0; i < scores.Length; i++) scores[i] = view.Replicas[view.Candidates[i]].BookedRequests;
        return view.Candidates[Lowest(scores, random)];
    }

    /// <returns>Place of the lowest score; of equal ones, each is as likely.</returns>
    public static int Lowest(ReadOnlySpan<double> scores, Random random)
    {
        var (best, equals) = (0, 1);
        for (var i = 1; i < scores.Length; i++)
        {
            if (scores[i] < scores[best]) (best, equals) = (i, 1);
            else if (scores[i] == scores[best] && random.Next(++equals) == 0) best = i;
        }

        return best;
    }
}

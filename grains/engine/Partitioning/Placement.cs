namespace Granary.Engine.Partitioning;

/// <summary>The workers of every stage, and its layers, such that everything fits.</summary>
/// <param name="Workers">[P][T].</param>
/// <param name="Layers">[P].</param>
/// <param name="StageSeconds">[P]: of a step of a few decoding sequences, sending it on included.</param>
internal sealed record Placement(Cut Cut, int[][] Workers, int[] Layers, double[] StageSeconds)
{
    /// <summary>Of a step alone.</summary>
    public double StepSeconds { get; } = StageSeconds.Sum();

    /// <summary>Of a step among others, one in every stage.</summary>
    public double PeriodSeconds { get; } = StageSeconds.Max();

    /// <summary>What is compared: a step alone matters as much as one among others.</summary>
    public double Score => StepSeconds + PeriodSeconds;

    /// <summary>Gives layers to stages on chosen workers.</summary>
    /// <remarks>
    /// Layer by layer to the stage that has then the least time, where there is memory: no other way makes the slowest stage faster, as a
    /// stage's time only grows with its layers and a worker's memory is the only thing that stages share. (With several ranks on
    /// several workers that stages share in different combinations, memory may stop it early; then a search finds the layers.)
    /// </remarks>
    /// <param name="workers">[P][T].</param>
    /// <returns>Null where the memory is not enough.</returns>
    public static Placement? Balance(Cut cut, int[][] workers)
    {
        var (shards, free) = (new int[cut.Sites.All.Length], new long[cut.Sites.All.Length]);
        foreach (var stage in workers)
        {
            foreach (var worker in stage) shards[worker]++;
        }

        for (var i = 0; i < free.Length; i++) free[i] = cut.Sites.All[i].FreeBytes;
        for (var stage = 0; stage < workers.Length; stage++)
        {
            for (var rank = 0; rank < cut.Ranks; rank++)
            {
                if ((free[workers[stage][rank]] -= cut.FixedBytes(rank, StageRole.Of(stage, cut.Stages)) + cut.LayerBytes(rank)) < 0) return null;
            }
        }

        var times = Times(cut, workers, shards);
        var layers = Enumerable.Repeat(1, cut.Stages).ToArray();
        var queue = new PriorityQueue<int, (double, int)>(cut.Stages);
        for (var stage = 0; stage < cut.Stages; stage++) queue.Enqueue(stage, (times[stage].Seconds(2), stage));
        for (var left = cut.Model.LayerCount - cut.Stages; left > 0; left--)
        {
            int chosen;
            do
            {
                if (!queue.TryDequeue(out chosen, out _)) return null;
            }
            while (!TryTake(cut, workers[chosen], free)); // A stage whose workers are full stays out: nothing is given back.

            layers[chosen]++;
            queue.Enqueue(chosen, (times[chosen].Seconds(layers[chosen] + 1), chosen));
        }

        return new Placement(cut, workers, layers, [.. times.Select((time, stage) => time.Seconds(layers[stage]))]);
    }

    /// <summary>With layers that are known to fit.</summary>
    public static Placement Of(Cut cut, int[][] workers, int[] layers)
    {
        var shards = new int[cut.Sites.All.Length];
        foreach (var worker in workers.SelectMany(stage => stage)) shards[worker]++;
        return new Placement(cut, workers, layers, [.. Times(cut, workers, shards).Select((time, stage) => time.Seconds(layers[stage]))]);
    }

    private static StageTime[] Times(Cut cut, int[][] workers, int[] shards)
    {
        var times = new StageTime[cut.Stages];
        Span<int> sharing = cut.Ranks <= 64 ? stackalloc int[cut.Ranks] : new int[cut.Ranks];
        for (var stage = 0; stage < cut.Stages; stage++)
        {
            for (var rank = 0; rank < cut.Ranks; rank++) sharing[rank] = shards[workers[stage][rank]];
            times[stage] = cut.Time(workers[stage], sharing, StageRole.Of(stage, cut.Stages));
            if (stage + 1 < cut.Stages) times[stage].AddToAll(cut.SendSeconds(workers[stage], workers[stage + 1]), 0);
        }

        return times;
    }

    private static bool TryTake(Cut cut, int[] workers, long[] free)
    {
        for (var rank = 0; rank < workers.Length; rank++)
        {
            if ((free[workers[rank]] -= cut.LayerBytes(rank)) >= 0) continue;
            for (; rank >= 0; rank--) free[workers[rank]] += cut.LayerBytes(rank);
            return false;
        }

        return true;
    }
}

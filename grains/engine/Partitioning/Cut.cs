namespace Granary.Engine.Partitioning;

/// <summary>One way of cutting a replica, P × T, with what its ranks cost on which workers. What is placed is placed within it.</summary>
internal sealed class Cut
{
    public Cut(ModelShape model, Sites sites, PartitionRequest request, int stages, int ranks, long kvTokens)
    {
        (Model, Sites, Stages, Ranks, KvTokens) = (model, sites, stages, ranks, kvTokens);
        Costs = [.. Slicing.CutRanks(model, ranks).Select(slice => new RankCosts(model, slice, request))];
    }

    /// <summary>The same ranks in another number of stages.</summary>
    public Cut(Cut other, int stages) => (Model, Sites, Stages, Ranks, KvTokens, Costs) = (other.Model, other.Sites, stages, other.Ranks, other.KvTokens, other.Costs);

    public ModelShape Model { get; }

    public Sites Sites { get; }

    public int Stages { get; }

    public int Ranks { get; }

    /// <summary>For which every shard must have room.</summary>
    public long KvTokens { get; }

    /// <summary>[T].</summary>
    public RankCosts[] Costs { get; }

    public long LayerBytes(int rank) => Costs[rank].LayerWeightBytes + Costs[rank].KvBytes(1, KvTokens);

    /// <summary>All but the layers.</summary>
    public long FixedBytes(int rank, StageRole role) => Costs[rank].WeightBytes(0, role) + Costs[rank].WorkspaceBytes(role);

    /// <summary>Layers that a group of workers, one a rank, has memory for; below 1 where it cannot be such a stage.</summary>
    /// <param name="free">Bytes that each rank may take.</param>
    public int LayersThatFit(ReadOnlySpan<long> free, StageRole role)
    {
        var fit = (long)Model.LayerCount;
        for (var rank = 0; rank < Ranks; rank++)
        {
            var left = free[rank] - FixedBytes(rank, role);
            fit = Math.Min(fit, left < 0 ? 0 : left / LayerBytes(rank));
        }

        return (int)fit;
    }

    /// <summary>Seconds of a stage as a function of its layers: the slowest of its ranks by memory or by arithmetic, and sums over ranks.</summary>
    /// <param name="workers">[T].</param>
    /// <param name="shards">Of this replica on each of them.</param>
    public StageTime Time(int[] workers, ReadOnlySpan<int> shards, StageRole role)
    {
        var time = new StageTime(2 * Ranks);
        for (var rank = 0; rank < Ranks; rank++)
        {
            var (cost, bandwidth, flops) = (Costs[rank], Sites.BytesPerSecond(workers[rank], shards[rank]), Sites.FlopsPerSecond(workers[rank], shards[rank]));
            time.Add(cost.ReadBytes(0, role) / bandwidth, cost.LayerWeightBytes / bandwidth);
            time.Add(cost.MultiplyAdds(0, role) / flops, RankCosts.Rows * cost.LayerMultiplyAdds / flops);
        }

        if (Ranks > 1)
        {
            // Every rank gets the partial sums of all others: after attention and after the network, and once for the embedding.
            var sum = Sites.LinkSeconds(Sites.Spread(workers), (Ranks - 1) * HiddenBytes);
            time.AddToAll(role.IsFirst ? sum : 0, 2 * sum);
        }

        return time;
    }

    /// <summary>From one stage to the next, rank to rank.</summary>
    public double SendSeconds(int[] from, int[] to) => Sites.LinkSeconds(Between(from, to), HiddenBytes);

    public Distance Between(int[] from, int[] to)
    {
        var most = Distance.SameWorker;
        for (var rank = 0; rank < Ranks; rank++) most = (Distance)Math.Max((int)most, (int)Sites.Between(from[rank], to[rank]));
        return most;
    }

    private double HiddenBytes => (double)sizeof(float) * RankCosts.Rows * Model.HiddenSize;
}

/// <summary>The largest of some lines over the number of layers.</summary>
internal sealed class StageTime(int capacity)
{
    private readonly List<(double Fixed, double Layer)> _lines = new(capacity);

    public void Add(double constant, double layer) => _lines.Add((constant, layer));

    public void AddToAll(double constant, double layer)
    {
        for (var i = 0; i < _lines.Count; i++) _lines[i] = (_lines[i].Fixed + constant, _lines[i].Layer + layer);
    }

    public double Seconds(int layers)
    {
        var most = 0.0;
        foreach (var (constant, layer) in _lines) most = Math.Max(most, constant + (layers * layer));
        return most;
    }

    /// <summary>Most layers that take no longer; 0 where not even one does.</summary>
    public int LayersWithin(double seconds, int most)
    {
        foreach (var (constant, layer) in _lines)
        {
            var room = (seconds - constant) / layer;
            if (room < most) most = room < 1 ? 0 : (int)room;
        }

        return most;
    }
}

using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>The planner against trying everything, where everything can be tried.</summary>
public sealed class BruteForceTests
{
    public static TheoryData<int> Seeds() => [.. Enumerable.Range(0, 300)];

    /// <summary>Nothing is refused that fits in any way at all.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Plan_SmallCase_RefusesOnlyWhatFitsNowhere(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random) with { LayerCount = random.Next(1, 6) };
        var (stages, ranks) = (random.Next(1, Math.Min(3, model.LayerCount) + 1), KnownShapes.RandomRanks(model, random, 2));
        var request = new PartitionRequest { Stages = stages, Ranks = ranks, KvTokens = 64, MaxTokensPerStep = 32, MaxLogitRows = 4 };
        var sizes = new ShardSizes(model, request);
        // About what the shards take, so that some clusters are just enough and some just not.
        var workers = RandomWorkers.Of(random, random.Next(1, 4), 0);
        var mean = sizes.Total(stages, ranks) / workers.Length;
        for (var i = 0; i < workers.Length; i++) workers[i] = workers[i] with { FreeBytes = (long)(mean * (0.5 + random.NextDouble())) };

        var result = PartitionPlanner.Plan(model, workers, request);

        Assert.Equal(Compositions(model.LayerCount, stages).Any(layers => Fits(sizes, layers, ranks, workers)), result.Plan is not null);
        if (result.Plan is { } plan) PlanCheck.Check(model, workers, request, plan);
    }

    /// <summary>On the workers chosen, no other number of layers for each stage makes the slowest stage faster.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Plan_SmallCase_BalancesLayersBest(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random) with { LayerCount = random.Next(2, 12) };
        var stages = random.Next(2, Math.Min(4, model.LayerCount) + 1);
        var request = new PartitionRequest { Stages = stages, KvTokens = 64, MaxTokensPerStep = 32, MaxLogitRows = 4 };
        var sizes = new ShardSizes(model, request);
        var workers = RandomWorkers.Of(random, random.Next(1, 5), 0);
        for (var i = 0; i < workers.Length; i++) workers[i] = workers[i] with { FreeBytes = (long)(sizes.Total(stages, 1) / workers.Length * (0.6 + random.NextDouble())) };
        if (PartitionPlanner.Plan(model, workers, request).Plan is not { } plan) return;

        var cut = new Cut(model, new Sites(workers, 1), request, stages, 1, 64);
        int[][] places = [.. plan.Shards.Select(shard => new[] { Array.FindIndex(cut.Sites.All, worker => worker.Worker == shard.Worker) })];
        var best = Compositions(model.LayerCount, stages)
            .Where(layers => plan.Shards.Select((shard, stage) => (shard.Worker, Bytes: sizes.Of(layers[stage], 0, 1, stage, stages))).GroupBy(shard => shard.Worker)
                .All(shards => shards.Sum(shard => shard.Bytes) <= workers.Single(worker => worker.Worker == shards.Key).FreeBytes))
            .Min(layers => Placement.Of(cut, places, layers).PeriodSeconds);
        Assert.Equal(best, plan.PeriodSeconds, best * 1e-9);
    }

    /// <summary>With one shard a worker and everybody alike in memory, the choice of workers is about as good as the best there is.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Plan_UnlikeSpeeds_ChoosesWorkersAboutAsWellAsTryingAll(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random) with { LayerCount = random.Next(4, 9) };
        var stages = random.Next(2, 4);
        var request = new PartitionRequest { Stages = stages, KvTokens = 64, MaxTokensPerStep = 32, MaxLogitRows = 4 };
        WorkerInventory[] workers = [.. Enumerable.Range(0, 5).Select(i => new WorkerInventory
        {
            Worker = $"w{i}", DeviceKind = "cpu", Silo = "s", Host = "h", FreeBytes = 1L << 40, FreeCores = 1,
            FlopsPerSecond = 1e8 * (1 + random.NextDouble()), BytesPerSecond = 1e8 * (1 + random.NextDouble()),
        })];
        var plan = PartitionPlanner.Plan(model, workers, request).Plan!;

        var cut = new Cut(model, new Sites(workers, 1), request, stages, 1, 64);
        var best = Choices(workers.Length, stages).Min(places => Placement.Balance(cut, [.. places.Select(place => new[] { place })])!.PeriodSeconds);
        Assert.InRange(plan.PeriodSeconds, best * (1 - 1e-9), best * 1.02);
    }

    private static bool Fits(ShardSizes sizes, int[] layers, int ranks, WorkerInventory[] workers)
    {
        var (free, cores) = (workers.Select(worker => worker.FreeBytes).ToArray(), workers.Select(worker => worker.FreeCores).ToArray());
        return Place(0);

        bool Place(int shard)
        {
            if (shard == layers.Length * ranks) return true;
            var bytes = sizes.Of(layers[shard / ranks], shard % ranks, ranks, shard / ranks, layers.Length);
            for (var worker = 0; worker < workers.Length; worker++)
            {
                if (free[worker] < bytes || cores[worker] < 1) continue;
                (free[worker], cores[worker]) = (free[worker] - bytes, cores[worker] - 1);
                var fits = Place(shard + 1);
                (free[worker], cores[worker]) = (free[worker] + bytes, cores[worker] + 1);
                if (fits) return true;
            }

            return false;
        }
    }

    /// <summary>All ways of writing a count as a sum of so many parts, in order.</summary>
    private static IEnumerable<int[]> Compositions(int count, int parts) =>
        parts == 1 ? [[count]] : Enumerable.Range(1, count - parts + 1).SelectMany(first => Compositions(count - first, parts - 1).Select(rest => (int[])[first, .. rest]));

    /// <summary>All ordered choices of so many different ones.</summary>
    private static IEnumerable<int[]> Choices(int count, int chosen) =>
        chosen == 0 ? [[]] : Choices(count, chosen - 1).SelectMany(some => Enumerable.Range(0, count).Except(some).Select(next => (int[])[.. some, next]));

    /// <summary>Bytes of a shard, as the planner itself tells them of workers without bounds.</summary>
    private sealed class ShardSizes(ModelShape model, PartitionRequest request)
    {
        private readonly Dictionary<(int, int, int, bool, bool), long> _known = [];

        public long Of(int layers, int rank, int ranks, int stage, int stages)
        {
            var key = (layers, rank, ranks, stage == 0, stage == stages - 1);
            if (_known.TryGetValue(key, out var bytes)) return bytes;
            // A stage of as many layers in the same role: before it and behind it one of one layer each, where there are others.
            var (before, behind) = (stage == 0 ? 0 : 1, stage == stages - 1 ? 0 : 1);
            var alone = model with { LayerCount = layers + before + behind };
            int[] split = [.. Enumerable.Repeat(1, before), layers, .. Enumerable.Repeat(1, behind)];
            var slice = Slicing.Cut(alone, split, ranks)[(before * ranks) + rank];
            var cost = new RankCosts(alone, slice, request);
            var role = new StageRole(slice.IsFirstStage, slice.IsLastStage);
            return _known[key] = cost.WeightBytes(layers, role) + cost.KvBytes(layers, request.KvTokens) + cost.WorkspaceBytes(role);
        }

        public long Total(int stages, int ranks) =>
            Enumerable.Range(0, stages * ranks).Sum(shard => Of(shard / ranks == 0 ? model.LayerCount - stages + 1 : 1, shard % ranks, ranks, shard / ranks, stages));
    }
}

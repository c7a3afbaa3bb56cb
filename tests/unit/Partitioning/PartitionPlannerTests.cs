using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

public sealed class PartitionPlannerTests
{
    private const long GiB = 1L << 30;

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(0, 400)];

    /// <summary>Whatever is asked of whatever workers, a plan fits and covers the model, and a refusal tells every number.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Plan_AnyModelAndWorkers_FitsAndCoversOrRefuses(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random);
        var workers = RandomWorkers.Of(random, random.Next(1, 40), RandomWorkers.NeedOf(model) / random.Next(1, 12));
        var request = new PartitionRequest
        {
            Stages = random.Next(3) == 0 ? 0 : random.Next(1, model.LayerCount + 1),
            Ranks = random.Next(3) == 0 ? 0 : KnownShapes.RandomRanks(model, random, 8),
            ThreadsPerShard = random.Next(1, 5),
            KvTokens = random.Next(2) == 0 ? 0 : random.Next(1, 4096),
            MaxTokensPerStep = random.Next(1, 512),
            MaxLogitRows = random.Next(1, 65),
            KvShare = random.Next(2) == 0 ? 1 : random.NextDouble() + double.Epsilon,
            KvBlockTokens = random.Next(3) == 0 ? 256 : 16,
        };

        var result = PartitionPlanner.Plan(model, workers, request);

        Assert.True(result.Plan is null != result.Refusal is null);
        if (result.Plan is { } plan)
            PlanCheck.Check(model, workers, request, plan);
        else
            Assert.All(workers.OrderByDescending(worker => worker.FreeBytes).Take(16), worker => Assert.Contains($"{worker.Worker}: {ByteText.Of(worker.FreeBytes)} and {worker.FreeCores} core", result.Refusal, StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Plan_WorkersInAnotherOrder_IsTheSame(int seed)
    {
        var random = new Random(seed);
        var model = KnownShapes.Random(random);
        var workers = RandomWorkers.Of(random, random.Next(1, 20), RandomWorkers.NeedOf(model) / 3);
        var request = new PartitionRequest { Stages = 0, Ranks = 0, MaxTokensPerStep = 64, MaxLogitRows = 8 };
        var one = PartitionPlanner.Plan(model, workers, request);
        random.Shuffle(workers);
        var other = PartitionPlanner.Plan(model, workers, request);

        Assert.Equal(one.Plan is null, other.Plan is null);
        Assert.Equal(one.Plan?.Shards, other.Plan?.Shards);
        Assert.Equal(one.Plan?.KvTokens, other.Plan?.KvTokens);
    }

    /// <summary>Sizes that people know: on one host ranks make a step faster, so they are taken where their number pays.</summary>
    [Theory]
    [InlineData("TinyLlama", 32, 1, 16, 1, 1)]
    [InlineData("TinyLlama", 32, 4, 3, 1, 4)]
    [InlineData("Qwen2-0.5B", 8, 2, 4, 1, 2)]
    [InlineData("Phi-3-mini", 4, 1, 8, 1, 1)]
    [InlineData("Phi-3-mini", 32, 2, 10, 1, 2)]
    [InlineData("Llama-3-8B", 32, 4, 16, 1, 4)]
    [InlineData("Llama-3-70B", 4, 4, 16, 1, 4)]
    [InlineData("Llama-3-70B", 32, 8, 48, 1, 8)]
    [InlineData("Llama-3.1-405B", 4, 16, 24, 1, 16)]
    public void Plan_KnownModelOnOneHost_TakesTheRanksThatAreFaster(string name, int bits, int workers, int gibibytes, int stages, int ranks) =>
        PlansInto(name, bits, workers, gibibytes, "host", stages, ranks);

    /// <summary>Between hosts stages are cheap and sums are not; and there are no more shards than must be.</summary>
    [Theory]
    [InlineData("TinyLlama", 32, 4, 16, 1, 1)]
    [InlineData("TinyLlama", 32, 4, 3, 2, 1)]
    [InlineData("Qwen2-0.5B", 8, 4, 4, 1, 1)]
    [InlineData("Phi-3-mini", 32, 4, 10, 2, 1)]
    [InlineData("Llama-3-8B", 32, 16, 12, 3, 1)]
    [InlineData("Llama-3-8B", 4, 16, 8, 1, 1)]
    [InlineData("Llama-3-70B", 4, 16, 16, 4, 1)]
    [InlineData("Llama-3-70B", 32, 16, 48, 6, 1)]
    [InlineData("Llama-3.1-405B", 4, 64, 24, 14, 1)]
    public void Plan_KnownModelOverHosts_TakesTheFewestShardsThatFit(string name, int bits, int workers, int gibibytes, int stages, int ranks) =>
        PlansInto(name, bits, workers, gibibytes, null, stages, ranks);

    private static void PlansInto(string name, int bits, int workers, int gibibytes, string? host, int stages, int ranks)
    {
        var model = KnownShapes.ByName(name) with { WeightBits = bits, ContextLength = 4096 };
        var inventory = Enumerable.Range(0, workers).Select(i => Worker($"w{i:00}", host ?? $"host{i}", gibibytes * GiB)).ToArray();
        var request = new PartitionRequest { Stages = 0, Ranks = 0, KvTokens = 2048, MaxTokensPerStep = 512, MaxLogitRows = 64 };

        var result = PartitionPlanner.Plan(model, inventory, request);

        Assert.True(result.Plan is not null, result.Refusal);
        PlanCheck.Check(model, inventory, request, result.Plan);
        Assert.Equal((stages, ranks), (result.Plan.Stages, result.Plan.Ranks));
    }

    /// <summary>A cluster of hundreds of workers of many kinds, and the largest model there is.</summary>
    [Theory]
    [InlineData(0, 0, 32, true)]
    [InlineData(0, 0, 4, true)]
    [InlineData(126, 1, 32, true)]
    [InlineData(42, 8, 32, true)]
    [InlineData(0, 0, 2, false)]
    public void Plan_HundredsOfWorkers_FitsWhereItCan(int stages, int ranks, int gibibytes, bool fits)
    {
        var random = new Random(7);
        var model = KnownShapes.Llama3Of405B with { ContextLength = 8192 };
        var workers = Enumerable.Range(0, 500).Select(i => Worker(
            $"w{i:000}", $"host{i / 8}", (gibibytes * GiB) + random.NextInt64(GiB / 2), 1e10 * (1 + random.NextDouble()), 1e10 * (1 + random.NextDouble())) with
        { Zone = $"zone{i % 64 / 8}" }).ToArray();
        var request = new PartitionRequest { Stages = stages, Ranks = ranks, KvTokens = 2048, MaxTokensPerStep = 256, MaxLogitRows = 16 };

        var result = PartitionPlanner.Plan(model, workers, request);

        Assert.Equal(fits, result.Plan is not null);
        if (result.Plan is { } plan) PlanCheck.Check(model, workers, request, plan);
    }

    [Fact]
    public void Plan_HostsOfTwoWorkers_RanksShareAHostAndStagesCrossHosts()
    {
        var workers = Enumerable.Range(0, 8).Select(i => Worker($"w{i}", $"host{i % 4}", 12 * GiB)).ToArray();
        var plan = PartitionPlanner.Plan(KnownShapes.Llama3Of8B, workers, new PartitionRequest { Stages = 4, Ranks = 2, KvTokens = 1024, MaxTokensPerStep = 256 }).Plan!;
        Assert.All(plan.Shards.GroupBy(shard => shard.Slice.Place.Stage), stage => Assert.Single(stage.Select(shard => Host(workers, shard)).Distinct()));
        Assert.Equal(4, plan.Shards.Select(shard => Host(workers, shard)).Distinct().Count());
    }

    [Fact]
    public void Plan_ZonesThatAreEachEnough_StaysInOne()
    {
        var workers = Enumerable.Range(0, 12).Select(i => Worker($"w{i:00}", $"host{i}", 24 * GiB) with { Zone = $"zone{i % 3}" }).ToArray();
        var plan = PartitionPlanner.Plan(KnownShapes.Llama3Of8B, workers, new PartitionRequest { Stages = 3, KvTokens = 1024, MaxTokensPerStep = 256 }).Plan!;
        Assert.Single(plan.Shards.Select(shard => workers.Single(worker => worker.Worker == shard.Worker).Zone).Distinct());
    }

    [Fact]
    public void Plan_NeighboursOfOneHost_FollowEachOther()
    {
        // Keys alternate between the hosts; only one change of host is needed.
        var workers = Enumerable.Range(0, 6).Select(i => Worker($"w{i}", $"host{i % 2}", 9 * GiB)).ToArray();
        var plan = PartitionPlanner.Plan(KnownShapes.Llama3Of8B, workers, new PartitionRequest { Stages = 6, KvTokens = 1024, MaxTokensPerStep = 256 }).Plan!;
        var hosts = plan.Shards.Select(shard => Host(workers, shard)).ToArray();
        Assert.InRange(hosts.Zip(hosts.Skip(1)).Count(pair => pair.First != pair.Second), 1, 2);
    }

    [Fact]
    public void Plan_SlowWorker_GetsFewerLayers()
    {
        WorkerInventory[] workers = [Worker("fast", "a", 64 * GiB, 4e10, 4e10), Worker("slow", "b", 64 * GiB, 1e10, 1e10)];
        var plan = PartitionPlanner.Plan(KnownShapes.TinyLlama, workers, new PartitionRequest { Stages = 2, KvTokens = 1024 }).Plan!;
        var layers = plan.Shards.ToDictionary(shard => shard.Worker, shard => shard.Slice.Layers.Count);
        Assert.InRange(layers["slow"], 3, 5); // A fifth of 22, one less or more for the head.
        Assert.InRange(plan.Shards.Min(shard => shard.StepSeconds) / plan.PeriodSeconds, 0.6, 1);
    }

    [Fact]
    public void Plan_OneWorkerOnly_TakesSeveralShards()
    {
        var plan = PartitionPlanner.Plan(KnownShapes.TinyLlama, [Worker("w", "h", 64 * GiB) with { FreeCores = 4 }], new PartitionRequest { Stages = 2, Ranks = 2 }).Plan!;
        Assert.All(plan.Shards, shard => Assert.Equal("w", shard.Worker));
    }

    [Fact]
    public void Plan_WorkersEnough_SpreadsShards()
    {
        WorkerInventory[] workers = [Worker("big", "a", 512 * GiB) with { FreeCores = 8 }, Worker("one", "b", 16 * GiB), Worker("two", "c", 16 * GiB)];
        var plan = PartitionPlanner.Plan(KnownShapes.TinyLlama, workers, new PartitionRequest { Stages = 3 }).Plan!;
        Assert.Equal(3, plan.Shards.Select(shard => shard.Worker).Distinct().Count());
    }

    [Fact]
    public void Plan_OpenKvSize_FillsTheMemoryUpToAllContexts()
    {
        var request = new PartitionRequest { Stages = 2, MaxSequences = 4 };
        WorkerInventory[] Of(long bytes) => [Worker("a", "h", bytes), Worker("b", "h", bytes)];
        Assert.Equal(4 * 2048, PartitionPlanner.Plan(KnownShapes.TinyLlama, Of(64 * GiB), request).Plan!.KvTokens);
        var tight = PartitionPlanner.Plan(KnownShapes.TinyLlama, Of(11 * GiB / 4), request with { MaxSequences = 4096 }).Plan!;
        var fullest = tight.Shards.MaxBy(shard => shard.TotalBytes)!;
        Assert.InRange((11 * GiB / 4) - fullest.TotalBytes, 0, (fullest.KvBytes / tight.KvTokens * PartitionPlanner.KvBlockTokens) - 1);
    }

    [Fact]
    public void Plan_NothingFits_TellsTheArithmetic()
    {
        WorkerInventory[] workers = [Worker("a/cpu", "h", 4 * GiB), Worker("b/cpu", "i", 2 * GiB) with { FreeCores = 0 }];
        var refusal = PartitionPlanner.Plan(KnownShapes.Llama3Of8B with { WeightBits = 4 }, workers, new PartitionRequest { Stages = 0, MaxTokensPerStep = 256, MaxLogitRows = 16 }).Refusal;
        Assert.Equal(
            """
            No replica of any number of stages and 1 rank fits. Cut into 1 × 1 it takes 7.40 GiB (7.21 GiB of weights, 64.0 MiB of KV cache for 256 tokens, 126 MiB of workspace); the workers with 1 free core or more have 4.00 GiB.
              a/cpu: 4.00 GiB and 1 core free, 25 of 32 layers.
              b/cpu: 2.00 GiB and 0 cores free: too few cores.
            """, refusal, ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void Plan_TooFewCores_TellsHowManyShardsTheyAreEnoughFor() =>
        Assert.StartsWith(
            "No replica of 3 stages and 2 ranks fits. Its 6 shards need 2 cores each; there are enough for 1.",
            PartitionPlanner.Plan(KnownShapes.TinyLlama, [Worker("w", "h", 64 * GiB) with { FreeCores = 3 }], new PartitionRequest { Stages = 3, Ranks = 2, ThreadsPerShard = 2 }).Refusal,
            StringComparison.Ordinal);

    [Theory]
    [InlineData(23, 1, "Stages is 23; it must be from 0 to 22.")]
    [InlineData(1, 257, "Ranks is 257; it must be from 0 to 256.")]
    [InlineData(1, 3, null)]
    [InlineData(1, 5, "32 query heads over 4 KV heads cannot be cut into 5 ranks: more ranks than KV heads must be a multiple of 4 that divides 32.")]
    public void Plan_WhatCannotBeCut_IsRefusedWithTheNumbers(int stages, int ranks, string? refusal) =>
        Assert.Equal(refusal, PartitionPlanner.Plan(KnownShapes.TinyLlama, [Worker("w", "h", 64 * GiB) with { FreeCores = 64 }], new PartitionRequest { Stages = stages, Ranks = ranks }).Refusal);

    [Fact]
    public void Plan_WorkersOfOneKey_IsRefused() =>
        Assert.Equal("Worker w is there twice.", PartitionPlanner.Plan(KnownShapes.TinyLlama, [Worker("w", "h", GiB), Worker("w", "i", GiB)], new PartitionRequest()).Refusal);

    private static WorkerInventory Worker(string key, string host, long bytes, double flops = 0, double bandwidth = 0) => new()
    {
        Worker = key,
        DeviceKind = "cpu",
        Silo = key,
        Host = host,
        FreeBytes = bytes,
        FreeCores = 1,
        FlopsPerSecond = flops,
        BytesPerSecond = bandwidth,
    };

    private static string Host(WorkerInventory[] workers, ShardPlan shard) => workers.Single(worker => worker.Worker == shard.Worker).Host;
}

using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>A model cut into stages and ranks generates what the whole model does, whatever the engine does meanwhile.</summary>
public sealed class ShardedEngineTests
{
    private static readonly SimulatedModel Model = new();

    public static TheoryData<string, int, int> Layouts
    {
        get
        {
            var data = new TheoryData<string, int, int>();
            foreach (var scheme in new[] { "memory", "unix" })
            {
                foreach (var (stages, ranks) in new[] { (1, 1), (2, 1), (3, 1), (1, 2), (1, 4), (2, 2) }) data.Add(scheme, stages, ranks);
            }

            return data;
        }
    }

    [Theory, MemberData(nameof(Layouts))]
    public async Task Generate_ManySequences_EqualsTheWholeModel(string scheme, int stages, int ranks)
    {
        var random = new Random(5);
        var requests = RandomRequests(random, 24);
        await using var setup = await ShardSetup.StartAsync(Model, scheme, stages, ranks);
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 96 }, setup.Cluster.Executor);

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await Whole(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
        Assert.All(setup.Cluster.Runners, runner => Assert.Equal(engine.Load.Steps, runner.Times.Steps));
    }

    [Theory]
    [InlineData(3, 1)]
    [InlineData(2, 2)]
    public async Task Generate_PrefixHitsAndPreemption_EqualsTheWholeModel(int stages, int ranks)
    {
        var random = new Random(6);
        var shared = EngineHarness.RandomPrompt(random, 40);
        var requests = RandomRequests(random, 16).Select((request, i) => i % 2 == 0 ? request : request with { PromptTokenIds = [.. shared, i] }).ToArray();
        await using var setup = await ShardSetup.StartAsync(Model with { KvBlockCount = 20 }, "memory", stages, ranks);
        await using var engine = InferenceEngine.Start(new(), setup.Cluster.Executor);

        await engine.Submit(requests[1]).ReadAll();
        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        Assert.True(engine.Load.PrefixCacheHits > 0, "Nothing was shared.");
        Assert.True(engine.Load.Preemptions > 0, "The pool was not small enough to preempt anything.");
        for (var i = 0; i < requests.Length; i++) Assert.Equal(await Whole(requests[i]), EngineHarness.Ids(results[i]));
    }

    /// <summary>Sequences come, are cancelled at any time, and leave those that stay untouched.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Generate_OthersCancelled_EqualsTheWholeModel(int seed)
    {
        var random = new Random(seed);
        var requests = RandomRequests(random, 20);
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 2, 2);
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 64 }, setup.Cluster.Executor);

        var kept = new List<(EngineRequest Request, Task<List<GeneratedToken>> Tokens)>();
        foreach (var request in requests)
        {
            var handle = engine.Submit(request);
            if (random.Next(3) > 0)
            {
                kept.Add((request, handle.ReadAll()));
                continue;
            }

            if (random.Next(2) == 0) await handle.WaitToReadAsync().AsTask().WaitAsync(EngineHarness.Patience);
            await handle.DisposeAsync();
        }

        foreach (var (request, tokens) in kept) Assert.Equal(await Whole(request), EngineHarness.Ids(await tokens));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    /// <summary>Hidden states and whole rows can be had of every step, whether they came along or are fetched.</summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    public async Task End_AnyRows_EqualTheWholeModels(int stages, int ranks)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, ranks);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        var sequence = new SequenceRunner(executor);
        var reference = new SequenceRunner(alone);

        foreach (var tokens in new[] { new[] { 1, 2, 3 }, [4], [5, 6], [7] })
        {
            Assert.Equal(reference.Append(tokens), sequence.Append(tokens));
            Assert.Equal(reference.Hidden, sequence.Hidden);
        }
    }

    /// <summary>All stages compute at the same time: each waits in its step until every stage is in one.</summary>
    [Fact]
    public async Task Begin_AsManyStepsAsStages_AllRunAtATime()
    {
        const int stages = 3;
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, 1);
        using var executor = setup.Cluster.Executor;
        using var together = new Barrier(stages);
        foreach (var (shard, stage) in setup.Shards.Select((shard, stage) => (shard, stage)))
        {
            shard.BeforeStep = plan =>
            {
                if (plan.Step != stages - stage) return; // The first stage begins its third step when the last begins its first.
                if (!together.SignalAndWait(EngineHarness.Patience)) throw new StepFailedException("The stages did not meet.");
            };
        }

        for (var step = 1; step <= stages; step++) executor.Begin(ShardSetup.OneToken(step, RowWants.Whole));
        Assert.Throws<InvalidOperationException>(() => executor.Begin(ShardSetup.OneToken(stages + 1, RowWants.Whole)));

        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        for (var step = 1; step <= stages; step++)
        {
            alone.Begin(ShardSetup.OneToken(step, RowWants.Whole));
            Assert.Equal(alone.End().Logits(0).ToArray(), executor.End().Logits(0).ToArray());
        }
    }

    private static EngineRequest[] RandomRequests(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(i => EngineHarness.Request(
            EngineHarness.RandomPrompt(random, random.Next(1, 80)), random.Next(20, 40), random.Next(3) * 0.5f, (ulong)i))];

    private static async Task<int[]> Whole(EngineRequest request)
    {
        await using var engine = InferenceEngine.Start(
            new() { PrefixCaching = false }, new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null)));
        return EngineHarness.Ids(await engine.Submit(request).ReadAll());
    }
}

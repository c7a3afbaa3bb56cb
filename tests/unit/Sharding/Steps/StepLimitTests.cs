using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;
using Granary.Tests.Unit.Sharding.Links;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>A shard that lives but does not answer holds nobody for longer than the limit.</summary>
public sealed class StepLimitTests
{
    private static readonly SimulatedModel Model = new() { VocabularySize = 5000 };

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task End_ShardHoldsItsStep_LosesTheReplicaAtTheLimit(int stages, int ranks)
    {
        var time = new ManualTime();
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, ranks, time: time);
        using var held = new ManualResetEventSlim();
        setup.Shards.First().BeforeStep = _ => held.Wait(EngineHarness.Patience);
        var executor = setup.Cluster.Executor;
        executor.Begin(ShardSetup.OneToken(1, 0.7f));
        var ending = TensorLinkTests.Run(() => executor.End());

        await time.ArmedFor(ShardCluster.StepLimit).WaitAsync(EngineHarness.Patience);
        time.Advance(ShardCluster.StepLimit - TimeSpan.FromTicks(1));
        Assert.False(executor.Lost.IsCompleted);
        time.Advance(TimeSpan.FromTicks(1));

        var error = await Assert.ThrowsAsync<StepFailedException>(() => ending.WaitAsync(EngineHarness.Patience));
        var late = string.Join(", ", Enumerable.Range(0, ranks).Select(rank => $"{stages - 1}.{rank}"));
        Assert.Equal($"Step 1 was lost: of the last stage, shards {late} have not answered within 300 s.", error.Message);
        await Assert.ThrowsAsync<StepFailedException>(() => executor.Lost);
        Assert.Throws<StepFailedException>(() => executor.Begin(ShardSetup.OneToken(2, 0.7f)));
        held.Set();
        await setup.AssertGone();
        Assert.Equal(0, time.ActiveTimers);
    }

    [Fact]
    public async Task Columns_LinkStandsStill_LosesTheReplicaAtTheLimit()
    {
        var time = new ManualTime();
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 1, 2, time: time);
        var executor = setup.Cluster.Executor;
        executor.Begin(ShardSetup.OneToken(1, 0.7f));
        var output = executor.End();
        setup.Transports[1].Freeze(link => link.Purpose == LinkPurpose.Control);

        var fetching = TensorLinkTests.Run(() => output.Columns(0, 0, 5000));
        await time.AdvanceUntilAsync(executor.Lost, ShardCluster.StepLimit);

        var error = await Assert.ThrowsAsync<StepFailedException>(() => fetching.WaitAsync(EngineHarness.Patience));
        Assert.Matches("^Step 1 was lost: of the last stage, shards (0\\.0, )?0\\.1 have not answered within 300 s\\.$", error.Message);
        await setup.AssertGone();
    }

    /// <summary>Each wait has the whole limit, however long the others took.</summary>
    [Fact]
    public async Task End_EveryStepTakesAlmostTheLimit_LosesNothing()
    {
        var time = new ManualTime();
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 2, 1, time: time);
        using var executor = setup.Cluster.Executor;
        setup.Shards.Last().BeforeStep = _ => time.Advance(ShardCluster.StepLimit - TimeSpan.FromTicks(1));

        for (var step = 1; step <= 5; step++)
        {
            executor.Begin(ShardSetup.OneToken(step, 0.7f));
            Assert.Equal(5000, executor.End().Logits(0).Length);
        }
    }
}

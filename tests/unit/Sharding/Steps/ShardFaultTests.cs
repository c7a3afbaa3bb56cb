using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>Whatever happens to a shard or a link, all who wait are told why, and nothing is left: no thread, no link, no executor.</summary>
public sealed class ShardFaultTests
{
    private static readonly SimulatedModel Model = new() { ContextLength = 16_384, KvBlockCount = 8_192 };

    public static TheoryData<string, int> Places
    {
        get
        {
            var data = new TheoryData<string, int>();
            foreach (var scheme in new[] { "memory", "unix" })
            {
                for (var shard = 0; shard < 4; shard++) data.Add(scheme, shard);
            }

            return data;
        }
    }

    [Theory, MemberData(nameof(Places))]
    public async Task Generate_ShardThrows_TellsShardStepAndReason(string scheme, int shard)
    {
        var (setup, engine, reads) = await StartBusy(scheme);
        await using (setup)
        {
            setup.Shards.ElementAt(shard).BeforeStep = plan => throw new StepFailedException($"No memory left in step {plan.Step}.");

            var error = await AssertAllFail(engine, reads);

            Assert.Matches("Shard [01]\\.[01] was lost in step [0-9]+: .*No memory left in step [0-9]+", error.Message);
            await setup.AssertGone();
            Assert.IsType<StepFailedException>(await setup.Cluster.Runners[shard].Ended);
        }
    }

    [Theory, MemberData(nameof(Places))]
    public async Task Generate_ShardKilled_FailsAll(string scheme, int shard)
    {
        var (setup, engine, reads) = await StartBusy(scheme);
        await using (setup)
        {
            Assert.Equal(3, setup.Transports[shard].Cut(_ => true));

            Assert.Contains("was lost", (await AssertAllFail(engine, reads)).Message);
            await setup.AssertGone();
        }
    }

    [Theory, MemberData(nameof(Places))]
    public async Task Generate_ShardFrozen_FailsAll(string scheme, int shard)
    {
        var (setup, engine, reads) = await StartBusy(scheme, silence: TimeSpan.FromSeconds(2));
        await using (setup)
        {
            Assert.Equal(3, setup.Transports[shard].Freeze(_ => true));

            Assert.Contains("was lost", (await AssertAllFail(engine, reads)).Message);
            await setup.AssertGone();
        }
    }

    [Theory]
    [InlineData(LinkPurpose.Control, 0)]
    [InlineData(LinkPurpose.Control, 3)]
    [InlineData(LinkPurpose.Activations, 0)]
    [InlineData(LinkPurpose.Activations, 3)]
    [InlineData(LinkPurpose.Reduction, 1)]
    [InlineData(LinkPurpose.Reduction, 2)]
    public async Task Generate_LinkCut_FailsAll(LinkPurpose purpose, int shard)
    {
        var (setup, engine, reads) = await StartBusy("unix");
        await using (setup)
        {
            Assert.Equal(1, setup.Transports[shard].Cut(link => link.Purpose == purpose));

            Assert.Contains("was lost", (await AssertAllFail(engine, reads)).Message);
            await setup.AssertGone();
        }
    }

    [Theory]
    [InlineData(LinkPurpose.Control, 0, 0)]
    [InlineData(LinkPurpose.Control, 2, 70)]
    [InlineData(LinkPurpose.Activations, 1, 9)]
    [InlineData(LinkPurpose.Activations, 1, 100)]
    [InlineData(LinkPurpose.Reduction, 0, 33)]
    [InlineData(LinkPurpose.Reduction, 3, 99)]
    public async Task Generate_FrameCorrupted_FailsAll(LinkPurpose purpose, int shard, int offset)
    {
        var (setup, engine, reads) = await StartBusy("memory");
        await using (setup)
        {
            // Of a control link the engine's end: shards of the first stage send nothing on theirs.
            var end = purpose == LinkPurpose.Control ? setup.Transports[^1] : setup.Transports[shard];
            var place = setup.Cluster.Shards[shard].Shape.Slice.Place;
            Assert.Equal(1, end.CorruptNextFrame(link => link.Purpose == purpose && (purpose != LinkPurpose.Control || link.Acceptor == place), offset));

            Assert.Contains("was lost", (await AssertAllFail(engine, reads)).Message);
            await setup.AssertGone();
        }
    }

    [Theory]
    [InlineData(LinkPurpose.Control)]
    [InlineData(LinkPurpose.Activations)]
    [InlineData(LinkPurpose.Reduction)]
    public async Task Generate_FramesDelayed_ChangesNoToken(LinkPurpose purpose)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 2, 2);
        await using var engine = InferenceEngine.Start(new(), setup.Cluster.Executor);
        var request = EngineHarness.Request([1, 2, 3], 8);
        var undisturbed = EngineHarness.Ids(await engine.Submit(request).ReadAll());
        foreach (var transport in setup.Transports.Where((_, i) => i % 2 == 0)) transport.Delay(link => link.Purpose == purpose, TimeSpan.FromMilliseconds(2));

        Assert.Equal(undisturbed, EngineHarness.Ids(await engine.Submit(request).ReadAll()));
    }

    [Theory, MemberData(nameof(Places))]
    public async Task Lost_ShardKilledWhileIdle_Faults(string scheme, int shard)
    {
        await using var setup = await ShardSetup.StartAsync(Model, scheme, 2, 2);
        new SequenceRunner(setup.Cluster.Executor).Append(1, 2, 3);

        setup.Transports[shard].Cut(_ => true);

        var error = await Assert.ThrowsAsync<StepFailedException>(() => setup.Cluster.Executor.Lost.WaitAsync(EngineHarness.Patience));
        Assert.Contains("while no step ran", error.Message);
        Assert.Throws<StepFailedException>(() => setup.Cluster.Executor.Begin(new() { Step = 9 }));
        await setup.AssertGone();
    }

    [Fact]
    public async Task Dispose_StepsUnderWay_EndsAllShards()
    {
        var (setup, engine, reads) = await StartBusy("unix");
        await using (setup)
        {
            await engine.DisposeAsync();

            foreach (var read in reads) await Assert.ThrowsAsync<StepFailedException>(() => read);
            await setup.AssertGone();
        }
    }

    [Fact]
    public async Task Unload_OneShard_EndsTheReplica()
    {
        var (setup, engine, reads) = await StartBusy("memory");
        await using (setup)
        {
            await setup.Cluster.Runners[1].DisposeAsync();

            Assert.Contains("was lost", (await AssertAllFail(engine, reads)).Message);
            Assert.Null(await setup.Cluster.Runners[1].Ended);
            await setup.AssertGone();
        }
    }

    /// <summary>A replica of two stages and two ranks that has begun to generate eight sequences without end.</summary>
    private static async Task<(ShardSetup Setup, InferenceEngine Engine, Task<List<GeneratedToken>>[] Reads)> StartBusy(string scheme, TimeSpan? silence = null)
    {
        var setup = await ShardSetup.StartAsync(Model, scheme, 2, 2, silence);
        var engine = InferenceEngine.Start(new(), setup.Cluster.Executor);
        var handles = Enumerable.Range(0, 8).Select(i => engine.Submit(EngineHarness.Request([i, 2, 3], 16_000, seed: (ulong)i))).ToArray();
        foreach (var handle in handles) Assert.True(await handle.WaitToReadAsync().AsTask().WaitAsync(EngineHarness.Patience));
        return (setup, engine, [.. handles.Select(handle => handle.ReadAll())]);
    }

    private static async Task<StepFailedException> AssertAllFail(InferenceEngine engine, Task<List<GeneratedToken>>[] reads)
    {
        foreach (var read in reads) await Assert.ThrowsAsync<StepFailedException>(() => read.WaitAsync(EngineHarness.Patience));
        return await Assert.ThrowsAsync<StepFailedException>(() => engine.Completion.WaitAsync(EngineHarness.Patience));
    }
}

using System.Runtime.InteropServices;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>What results did not carry comes in as few round trips as can be; what cannot be asked for ends the shard's life with the reason.</summary>
public sealed class RowFetchTests
{
    private const int Rows = 16;
    private const int HeldStep = 1;

    private static readonly SimulatedModel Model = new() { VocabularySize = 5000 };

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    public async Task Columns_AllRowsExpected_CostOneRoundTripOfEachRank(int stages, int ranks)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, ranks);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        alone.Begin(Plan(Rows));
        executor.Begin(Plan(Rows));
        var expected = alone.End();
        var actual = executor.End();
        var lastStage = executor.Links.Skip((stages - 1) * ranks).ToArray();
        var before = lastStage.Select(link => link.Counters).ToArray();

        for (var row = 0; row < Rows; row++) actual.Expect(row, FirstOf(row), 2500);
        for (var row = 0; row < Rows; row++)
        {
            Assert.Equal(expected.Logits(row).Slice(FirstOf(row), 2500).ToArray(), actual.Columns(row, FirstOf(row), 2500).ToArray());
            Assert.Equal(expected.Logits(row).Slice(FirstOf(row) + 1, 9).ToArray(), actual.Columns(row, FirstOf(row) + 1, 9).ToArray());
        }

        Assert.All(lastStage.Zip(before), link =>
        {
            Assert.Equal(1, link.First.Counters.FramesSent - link.Second.FramesSent);
            Assert.Equal(1, link.First.Counters.FramesReceived - link.Second.FramesReceived);
        });
    }

    /// <summary>What nobody announced is fetched with what was.</summary>
    [Fact]
    public async Task Logits_OtherRowsExpected_ComeInTheSameRoundTrip()
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 1, 2);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        alone.Begin(Plan(4));
        executor.Begin(Plan(4));
        var expected = alone.End();
        var actual = executor.End();
        var before = executor.Links.Select(link => link.Counters.FramesSent).ToArray();

        for (var row = 0; row < 3; row++) actual.Expect(row, FirstOf(row), 2500);
        Assert.Equal(expected.Logits(0).ToArray(), actual.Logits(0).ToArray());
        Assert.Equal(expected.Logits(1).ToArray(), actual.Logits(1).ToArray());
        Assert.Equal(expected.Logits(2).Slice(FirstOf(2), 2500).ToArray(), actual.Columns(2, FirstOf(2), 2500).ToArray());
        Assert.All(executor.Links.Zip(before), link => Assert.Equal(2, link.First.Counters.FramesSent - link.Second)); // Row 1 was wanted whole after all.
        Assert.Equal(expected.Logits(3)[..9].ToArray(), actual.Columns(3, 0, 9).ToArray());
        Assert.Equal(expected.Hidden.ToArray(), actual.Hidden.ToArray());
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    public async Task Generate_PlainTemperature_CostsOneRoundTripAStepAtMost(int stages, int ranks)
    {
        var random = new Random(8);
        var requests = Enumerable.Range(0, 16).Select(i => EngineHarness.Request(EngineHarness.RandomPrompt(random, 20), 20, temperature: 1, (ulong)i)).ToArray();
        await using var setup = await ShardSetup.StartAsync(Model, "memory", stages, ranks);
        await using var engine = InferenceEngine.Start(new(), setup.Cluster.Executor);

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        await using var whole = InferenceEngine.Start(new(), new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null)));
        for (var i = 0; i < requests.Length; i++) Assert.Equal(EngineHarness.Ids(await whole.Submit(requests[i]).ReadAll()), EngineHarness.Ids(results[i]));
        foreach (var link in setup.Cluster.Executor.Links.Skip((stages - 1) * ranks))
            Assert.InRange(link.Counters.FramesSent, engine.Load.Steps + 1, 2 * engine.Load.Steps); // Each step's plan, and what is asked for.
    }

    [Fact]
    public async Task Logits_RowLongerThanAFrame_ComesInPieces()
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 1, 1, maxFrameBytes: 4096);
        using var executor = setup.Cluster.Executor;
        using var alone = new ShardAlone(new SimulatedShard(Model, Model.Cut(1, 1)[0], 1, null));
        alone.Begin(Plan(2));
        executor.Begin(Plan(2));
        var expected = alone.End();
        var actual = executor.End();
        var before = executor.Links[0].Counters.FramesSent;

        Assert.Equal(expected.Logits(1).ToArray(), actual.Logits(1).ToArray());
        Assert.Equal(5, executor.Links[0].Counters.FramesSent - before); // Of 1,024 columns each.
    }

    [Fact]
    public void TryNext_MoreRequestsThanAFrameHolds_CutsThemInOrder()
    {
        var fetch = new RowFetch(1 << 20);
        for (var row = 0; row < RowRequest.MaxRequests + 44; row++) fetch.Add(new(row, 0, 2), new float[2]);

        Assert.True(fetch.TryNext(out var first));
        Assert.Equal(RowRequest.MaxRequests * RowRequest.Bytes, first.Length);
        Assert.True(fetch.TryNext(out var second));
        Assert.Equal(44 * RowRequest.Bytes, second.Length);
        Assert.Equal(new(RowRequest.MaxRequests, 0, 2), RowRequest.Read(second));
        Assert.False(fetch.TryNext(out _));

        Assert.Equal(RowRequest.MaxRequests * 2 * sizeof(float), fetch.AnswerBytes);
        fetch.Complete();
        Assert.Equal(44 * 2 * sizeof(float), fetch.AnswerBytes);
        Assert.False(fetch.IsAnswered);
        fetch.Complete();
        Assert.True(fetch.IsAnswered);
        Assert.Equal(0, fetch.AnswerBytes);
    }

    public static TheoryData<int, byte[], string> MalformedRequests => new()
    {
        { HeldStep, [], "RowsWanted of 0 bytes" },
        { HeldStep, new byte[RowRequest.Bytes + 1], "RowsWanted of 13 bytes" },
        { HeldStep, new byte[(RowRequest.MaxRequests + 1) * RowRequest.Bytes], "RowsWanted of 3084 bytes" },
        { HeldStep + 1, Requests(0, 0, 1), "of step 2, which is not kept" },
        { HeldStep, Requests(4, 0, 1), "of row 4 of step 1, where 4 rows are kept" },
        { HeldStep, Requests(-2, 0, 1), "of row -2 of step 1, where 4 rows are kept" },
        { HeldStep, Requests(0, 0, 0), "0 columns from 0 of row 0" },
        { HeldStep, Requests(0, -1, 2), "2 columns from -1 of row 0" },
        { HeldStep, Requests(0, 4999, 2), "2 columns from 4999 of row 0 of step 1, where 5000 are kept" },
        { HeldStep, Requests(0, int.MaxValue, int.MaxValue), "2147483647 columns from 2147483647" },
        { HeldStep, Requests(0, 0, 1, 3, 0, 5001), "5001 columns from 0 of row 3" },
        { HeldStep, Requests([.. Enumerable.Repeat<int[]>([0, 0, 5000], 210).SelectMany(request => request)]), "1050000 columns of step 1 in one frame, at most 1048576" },
    };

    [Theory, MemberData(nameof(MalformedRequests))]
    public async Task Answer_RequestIsMalformed_EndsTheShardWithTheReason(int step, byte[] requests, string reason)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 1, 1);
        var executor = setup.Cluster.Executor;
        executor.Begin(Plan(4));
        executor.End();

        executor.Links[0].Send(FrameKind.RowsWanted, step, requests);

        var error = await Assert.ThrowsAsync<StepFailedException>(() => executor.Lost.WaitAsync(EngineHarness.Patience));
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.Equal(LinkFailure.Corrupt, Assert.IsType<LinkException>(await setup.Cluster.Runners[0].Ended.WaitAsync(EngineHarness.Patience)).Failure);
        await setup.AssertGone();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Lost_RowsThatNobodyAskedFor_EndTheReplica(int shard)
    {
        await using var setup = await ShardSetup.StartAsync(Model, "memory", 2, 1);
        var executor = setup.Cluster.Executor;
        executor.Begin(Plan(4));
        executor.End().Expect(0, 0, 2);

        setup.Cluster.Runners[shard].Links[0].Send(FrameKind.Rows, HeldStep, new byte[8]);

        var error = await Assert.ThrowsAsync<StepFailedException>(() => executor.Lost.WaitAsync(EngineHarness.Patience));
        Assert.Contains(shard == 0 ? "Rows of 8 bytes, which the engine does not expect" : "8 bytes of rows of step 1, which nobody asked for", error.Message, StringComparison.Ordinal);
        await setup.AssertGone();
    }

    /// <summary>Within what 2,500 columns leave of the row, so that both of two ranks have some of them.</summary>
    private static int FirstOf(int row) => row * 100;

    private static byte[] Requests(params int[] words) => MemoryMarshal.AsBytes(words.AsSpan()).ToArray();

    /// <summary>A new sequence of as many tokens as rows, all of whose rows are wanted as summaries.</summary>
    private static StepPlan Plan(int rows) => new()
    {
        Step = HeldStep,
        TokenCount = rows,
        SequenceCount = 1,
        BlockTableWidth = 1,
        HiddenCount = rows,
        LogitCount = rows,
        TokenIds = [.. Enumerable.Range(100, rows)],
        CumulativeSequenceLengths = [0, rows],
        PastLengths = [0],
        BlockTable = [3],
        HiddenRows = [.. Enumerable.Range(0, rows)],
        LogitRows = [.. Enumerable.Range(0, rows)],
        RowTemperatures = [.. Enumerable.Repeat(0.9f, rows)],
    };
}

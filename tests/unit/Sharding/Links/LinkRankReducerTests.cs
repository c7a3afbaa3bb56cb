using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Sharding.Reduction;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>Sums are the same bits on all ranks, whichever way they were made, and a rank that is lost or elsewhere is named.</summary>
public sealed class LinkRankReducerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static TheoryData<string, int, WireFormat> Rings
    {
        get
        {
            var data = new TheoryData<string, int, WireFormat>();
            foreach (var format in Enum.GetValues<WireFormat>())
            {
                foreach (var ranks in new[] { 2, 3, 4, 6 }) data.Add("memory", ranks, format);
                data.Add("unix", 2, format);
                data.Add("unix", 4, format);
            }

            return data;
        }
    }

    /// <summary>Shapes on both sides of the choice between one round and two, of one chunk and of many, with rows that do not divide by the ranks.</summary>
    [Theory, MemberData(nameof(Rings))]
    public async Task AllReduce_AnyShape_IsTheSumInTheOrderOfRanks(string scheme, int ranks, WireFormat format)
    {
        (int Rows, int Columns)[] shapes = [(1, 1), (1, 768), (7, 100), (64, 768), (200, 333), (3, 40_000), (61, 2048)];
        // As tight as it may be: with two credits every chunk ahead needs one back.
        await using var ring = await RankRing.OpenAsync(scheme, ranks, format, LinkPair.Options with { Credits = 2 });
        var running = ring.Run((rank, reducer) =>
        {
            for (var step = 0; step < 2; step++)
            {
                reducer.BeginStep(step);
                for (var i = 0; i < shapes.Length; i++)
                {
                    var (rows, columns) = shapes[i];
                    var values = Part(rank, i, rows * columns);
                    reducer.AllReduce(values, columns);
                    Assert.True(Expected(format, ranks, i, rows, columns).AsSpan().SequenceEqual(values), $"rank {rank}, {rows}×{columns}");
                }
            }
        });
        await Task.WhenAll(running).WaitAsync(Patience * 2);
    }

    [Fact]
    public void AllReduce_OneRank_ChangesNothing()
    {
        using var reducer = new LinkRankReducer(0, [null], WireFormat.Int8, TimeProvider.System);
        float[] values = [1.5f, -2.25f];
        reducer.AllReduce(values, 2);
        Assert.Equal([1.5f, -2.25f], values);
        Assert.Equal(TimeSpan.Zero, reducer.Waited);
    }

    [Fact]
    public async Task AllReduce_RankInAnotherStep_FailsOnAll()
    {
        await using var ring = await RankRing.OpenAsync("unix", 3, WireFormat.Float32);
        await AllFailAsync(ring, ring.Run((rank, reducer) =>
        {
            reducer.BeginStep(rank == 1 ? 5 : 4);
            reducer.AllReduce(new float[768], 768);
        }));
    }

    [Fact]
    public async Task AllReduce_RankInAnotherSum_FailsOnAll()
    {
        await using var ring = await RankRing.OpenAsync("memory", 2, WireFormat.Float32);
        var failures = await AllFailAsync(ring, ring.Run((rank, reducer) =>
        {
            reducer.BeginStep(4);
            reducer.AllReduce(new float[rank == 0 ? 20 : 40], rank == 0 ? 10 : 20);
        }));
        Assert.Contains(failures, failure => failure.Contains("expected", StringComparison.Ordinal));
    }

    /// <summary>One rank's loss is seen by those who wait for it, and by those who wait for them.</summary>
    [Theory, InlineData("memory"), InlineData("unix"), InlineData("tcp")]
    public async Task AllReduce_RankIsCutOff_FailsOnAllNamingIt(string scheme)
    {
        await using var ring = await RankRing.OpenAsync(scheme, 4, WireFormat.Float32);
        using var barrier = new Barrier(5);
        var running = ring.Run((rank, reducer) =>
        {
            reducer.BeginStep(1);
            reducer.AllReduce(new float[768], 768);
            Assert.True(barrier.SignalAndWait(Patience));
            while (true) reducer.AllReduce(new float[64 * 768], 768);
        });
        Assert.True(barrier.SignalAndWait(Patience));
        Assert.Equal(3, ring.Transports[2].Cut(_ => true));
        var failures = await AllFailAsync(ring, running);
        Assert.Contains(failures, failure => failure.Contains("lost rank 2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AllReduce_RankStandsStill_FailsWithinTheSilenceLimit()
    {
        var time = new ManualTime();
        await using var ring = await RankRing.OpenAsync("unix", 2, WireFormat.Float32, time: time);
        Assert.Equal(1, ring.Transports[1].Freeze(_ => true));
        var summing = TensorLinkTests.Run(() => ring.Reducers[0].AllReduce(new float[768], 768));
        await time.AdvanceUntilAsync(ring.Links[0][1]!.Ended, LinkPair.Options.PulsePeriod);
        var failed = await Assert.ThrowsAsync<StepFailedException>(() => summing.WaitAsync(Patience));
        Assert.Contains("lost rank 1", failed.Message, StringComparison.Ordinal);
        Assert.Equal(LinkFailure.Silent, Assert.IsType<LinkException>(failed.InnerException).Failure);
    }

    [Fact]
    public async Task AllReduce_CorruptPart_FailsOnAll()
    {
        await using var ring = await RankRing.OpenAsync("unix", 2, WireFormat.Float16);
        Assert.Equal(1, ring.Transports[0].CorruptNextFrame(_ => true, offset: 500));
        await AllFailAsync(ring, ring.Run((_, reducer) =>
        {
            while (true) reducer.AllReduce(new float[768], 768); // Who sent it finds out at its next.
        }));
    }

    [Fact]
    public async Task Abort_OtherRankWaits_FailsWithTheReason()
    {
        await using var ring = await RankRing.OpenAsync("unix", 2, WireFormat.Float32);
        var waiting = TensorLinkTests.Run(() => ring.Reducers[0].AllReduce(new float[768], 768));
        ring.Reducers[1].Abort("the step was given up");
        Assert.Contains("the step was given up", (await Assert.ThrowsAsync<StepFailedException>(() => waiting.WaitAsync(Patience))).Message, StringComparison.Ordinal);
    }

    private static async Task<List<string>> AllFailAsync(RankRing ring, Task[] running)
    {
        var failures = new List<string>();
        foreach (var rank in running) failures.Add((await Assert.ThrowsAsync<StepFailedException>(() => rank.WaitAsync(Patience))).Message);
        Assert.Equal(ring.Reducers.Count, failures.Count);
        return failures;
    }

    private static float[] Part(int rank, int seed, int count)
    {
        var random = new Random((rank * 1000) + seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * 100)];
    }

    private static float[] Expected(WireFormat format, int ranks, int seed, int rows, int columns)
    {
        var sum = new float[rows * columns];
        var encoded = new byte[ActivationCodec.Bytes(format, rows, columns)];
        for (var rank = 0; rank < ranks; rank++)
        {
            var part = Part(rank, seed, rows * columns);
            ActivationCodec.Encode(format, part, columns, encoded);
            ActivationCodec.Decode(format, encoded, columns, part);
            for (var i = 0; i < sum.Length; i++) sum[i] = rank == 0 ? part[i] : sum[i] + part[i];
        }

        return sum;
    }
}

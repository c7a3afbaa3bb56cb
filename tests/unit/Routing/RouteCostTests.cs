using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;

namespace Granary.Tests.Unit.Routing;

/// <summary>Our costs against sums worked out by hand, and what follows from them.</summary>
public sealed class RouteCostTests
{
    private static readonly RoutingSettings Settings = new() { SequenceTokens = 100 };
    private static readonly RouteRequest Request = new() { RequestId = "r", PromptTokens = 1000, MaxTokens = 10, Blocks = new ulong[62] };

    /// <summary>600 tokens behind 400 others: 600 x 1 ms + 1 µs x (400 + … + 999) = 0.6 + 0.4197.</summary>
    [Fact]
    public void Of_UncachedTokens_CostMoreTheMoreStandBeforeThem()
    {
        var cost = RouteCost.Of(View(overlap: new(20, 5, 0, 0)), Request, new(0.001, 1e-6), Settings);
        Assert.Equal(0.6 + 0.4197, cost.Prefill, 9);
        Assert.Equal(5 * 16 * 1e-5, cost.Transfer, 9);
        Assert.Equal(3 * cost.Prefill, cost.Delay, 9); // A weight of 4.
    }

    /// <summary>Pending 2 s and booked 0.5 s; held: 30 blocks of 16, 200 booked tokens, (2 + 1 + 1) sequences of 100 more; a twentieth of a millisecond each.</summary>
    [Fact]
    public void Of_WaitAndPressure_CountWhatIsThereAndWhatIsBooked()
    {
        var load = Load() with { PendingPrefillSeconds = 2, KvBlocksUsed = 30, RunningSequences = 2, WaitingSequences = 1 };
        var cost = RouteCost.Of(View(load, unseen: new(1, 200, 200, 0.5)), Request, new(0.001, 0), Settings);
        Assert.Equal(2.5, cost.Wait, 9);
        Assert.Equal(0.05 * 0.001 * (480 + 200 + 400), cost.Pressure, 9);
    }

    /// <summary>512 steps weigh as much as the mean of all, three times as many three quarters; what then is within twice the mean is taken for chance.</summary>
    [Theory]
    [InlineData(0.005, 0, 0.001)]
    [InlineData(0.005, 50, 0.001)]
    [InlineData(0.005, 511, 0.003)]
    [InlineData(0.005, 1535, 0.004)]
    [InlineData(0.0019, 1_000_000, 0.001)]
    [InlineData(0.0002, 511, 0.001)] // Halfway is 0.0006.
    [InlineData(0.0002, 1535, 0.0004)]
    [InlineData(0, 1535, 0.001)]
    public void For_OwnMeasurement_CountsTheMoreTheMoreItHasWorked(double own, long steps, double expected) =>
        Assert.Equal(expected, new MeanSpeeds(0.001, 0).For(Load() with { SecondsPerPrefillToken = own, Steps = steps }).PrefillToken, 9);

    /// <summary>A replica whose first prompts seemed slow is sent new ones all the same, and so gets to measure again.</summary>
    [Fact]
    public void Pick_OneSeemsSlowByItsFirstSteps_IsNotAvoided()
    {
        var seems = Load() with { SecondsPerPrefillToken = 0.005, Steps = 20 };
        ReplicaView[] views = [View(seems), View(Load() with { SecondsPerPrefillToken = 0.001, Steps = 5000 }, id: "b")];
        Assert.Equal([0, 1], Places(views));
        views[0] = views[0] with { Load = seems with { Steps = 5000 } };
        Assert.Equal([1], Places(views));

        static IEnumerable<int> Places(ReplicaView[] views) =>
            Enumerable.Range(0, 64).Select(i => new SecondsPolicy(Settings).Pick(new(views, [0, 1], MeanSpeeds.Of(views, Settings)), Request with { Blocks = [(ulong)i] })).Distinct().Order();
    }

    /// <summary>Of 0.05 s at most, 20 times: nothing of it is saved by no block, a quarter by half of the prompt, nearly all by all but its end.</summary>
    [Theory]
    [InlineData(0, 1000, 1)]
    [InlineData(25, 800, 0.75)]
    [InlineData(62, 1000, 0.015936)]
    [InlineData(0, 40, 0.8)]
    public void Of_LessOfThePromptIsThere_LeavesMoreOfItsConversationBehind(int blocks, int tokens, double expected) =>
        Assert.Equal(expected, RouteCost.Of(View(overlap: new(blocks, 0, 0, 0)), Request with { PromptTokens = tokens }, new(0.001, 0), Settings).Leaving, 9);

    /// <summary>What a replica told 50 ms ago may be over.</summary>
    [Fact]
    public void Total_ShortWait_CountsForNothing()
    {
        var cost = new RouteCost(0.04, 0, 0.1, 0, 0, 0, 0);
        Assert.Equal((0.14, 0.1), (Math.Round(cost.FirstToken, 9), Math.Round(cost.Total, 9)));
        Assert.Equal(0.25, (cost with { Wait = 0.2 }).Total, 9);
    }

    /// <summary>Prompts with one head in common, which everybody has: what follows it decides, and they spread.</summary>
    [Fact]
    public void Pick_CostsTieBehindASharedHead_SpreadByWhatFollows()
    {
        ReplicaView[] views = [.. Enumerable.Range(0, 4).Select(i => View(overlap: new(1, 0, 0, 0), id: $"m/{i}"))];
        var policy = new SecondsPolicy(Settings);
        var places = Enumerable.Range(0, 64).Select(i => policy.Pick(new(views, [0, 1, 2, 3], new(0.001, 0)), Request with { PrefixHash = 7, Blocks = [1, (ulong)(100 + i)] }));
        Assert.Equal([0, 1, 2, 3], places.Distinct().Order());
    }

    /// <summary>A prefix stays where it is while the wait is worth it, and is computed again elsewhere once it is not: 1.6 s of work that counts four times, and 1 s for its conversation.</summary>
    [Theory]
    [InlineData(7, 0)]
    [InlineData(9, 1)]
    public void Pick_HotPrefix_SpreadsWhenWaitingCostsMore(double wait, int expected)
    {
        var request = Request with { PromptTokens = 1600, Blocks = new ulong[99] };
        var home = View(Load() with { PendingPrefillSeconds = wait }, overlap: new(99, 0, 0, 0));
        ReplicaView[] views = [home, View(id: "b")];
        Assert.Equal(expected, new SecondsPolicy(Settings).Pick(new(views, [0, 1], new(0.001, 0)), request));
    }

    /// <summary>Of 20 sequences where 2 are usual, 10 are more than 8 above the mean: 0.05 x 100 tokens x 1 ms x 10 x 10.</summary>
    [Theory]
    [InlineData(20, 2, 0.5)]
    [InlineData(10, 2, 0)]
    [InlineData(20, 30, 0)]
    public void Of_ManyMoreSequencesThanTheMean_CostTheMoreTheMoreTheyAre(int sequences, double mean, double expected) =>
        Assert.Equal(expected, RouteCost.Of(View(Load() with { RunningSequences = sequences }), Request, new(0.001, 0, mean), Settings).Crowding, 9);

    /// <summary>A head that all prompts share and one replica alone has keeps them together only as long as that is no crowd.</summary>
    [Fact]
    public void Pick_HeadOfAllPromptsOnOneReplica_OthersGetTheirShare()
    {
        const int Requests = 400;
        var settings = new RoutingSettings();
        var views = Enumerable.Range(0, 8).Select(i => View(Load(), overlap: i == 0 ? new(31, 0, 0, 0) : default, id: $"m/{i}")).ToArray();
        for (var i = 0; i < Requests; i++)
        {
            var means = MeanSpeeds.Of(views, settings) with { PrefillToken = 25e-6 };
            var place = new SecondsPolicy(settings).Pick(new(views, [0, 1, 2, 3, 4, 5, 6, 7], means), Request with { PromptTokens = 520, Blocks = [.. Enumerable.Repeat(7UL, 31), (ulong)i] });
            views[place] = views[place] with { Load = views[place].Load! with { RunningSequences = views[place].Sequences + 1 } };
        }

        Assert.InRange(views[0].Sequences, Requests / 8, (Requests / 8) + 40);
        Assert.All(views[1..], view => Assert.InRange(view.Sequences, 30, Requests / 8));
    }

    /// <summary>Of two copies one is used by all who want them while both cost the same, so that the other can be given up.</summary>
    [Fact]
    public void Pick_TwoCopies_OneIsUsedWhateverFollows()
    {
        ReplicaView[] views = [View(overlap: new(60, 0, 0, 0)), View(overlap: new(60, 0, 0, 0), id: "b"), View(id: "c")];
        var prefix = Enumerable.Range(1, 60).Select(i => (ulong)i).ToArray();
        var policy = new SecondsPolicy(Settings);
        var places = Enumerable.Range(0, 32).Select(i => policy.Pick(new(views, [0, 1, 2], new(0.001, 0)), Request with { PrefixHash = 1, Blocks = [.. prefix, (ulong)(1000 + i), (ulong)(2000 + i)] }));
        Assert.Single(places.Distinct());
    }

    /// <summary>Requests of one prefix that come at once go together: the second expects what the first is bringing.</summary>
    [Fact]
    public void Route_BurstOfOnePrefix_StaysTogether()
    {
        var table = new RoutingTable(Settings, new SecondsPolicy(Settings), TimeProvider.System);
        table.Adopt(Enumerable.Range(0, 8).Select(i => new ReplicaDescriptor { Replica = new($"m/{i}", 1), ContextLength = 4096, KvCapacityTokens = 65_536 }));
        var prefix = Enumerable.Range(1, 60).Select(i => (ulong)i).ToArray();
        var places = new HashSet<ReplicaLife>();
        for (var i = 0; i < 5; i++)
        {
            var request = Request with { Blocks = [.. prefix, (ulong)(1000 + i), (ulong)(2000 + i)], PrefixHash = (ulong)i }; // Ties would spread them.
            table.Route(request, Guid.NewGuid(), out var ticket);
            places.Add(ticket!.Replica);
            Assert.Equal(i == 0 ? 0 : 960, ticket.ExpectedCachedTokens);
        }

        Assert.Single(places);
    }

    [Fact]
    public void Release_BeforeItWasComputed_NothingIsExpectedAnyMore()
    {
        var table = new RoutingTable(Settings, new SecondsPolicy(Settings), TimeProvider.System);
        table.Adopt([View().Replica]);
        var id = Guid.NewGuid();
        table.Route(Request with { Blocks = [1, 2, 3] }, id, out _);
        Assert.Equal(3, table.Decide(Request with { Blocks = [1, 2, 3] }).Overlap.Expected);
        table.Release(id);
        Assert.Equal(default, table.Decide(Request with { Blocks = [1, 2, 3] }).Overlap);
    }

    /// <summary>Its blocks go with a life: the next one, under the same name, is believed to have nothing.</summary>
    [Fact]
    public void Adopt_NextLife_HasNothingOfTheOneBefore()
    {
        var table = new RoutingTable(Settings, new SecondsPolicy(Settings), TimeProvider.System);
        var replica = View().Replica;
        table.Adopt([replica]);
        table.Report(replica.Replica, new(Load(), new() { First = 0, Next = 4, IsSnapshot = true, Runs = [new(true, KvTier.Device, 3)], Blocks = [1, 2, 3] }), 0);
        Assert.Equal(3, table.Decide(Request with { Blocks = [1, 2, 3] }).Overlap.Device);

        table.Adopt([replica with { Replica = replica.Replica with { Epoch = 2 } }]);
        Assert.Equal(default, table.Decide(Request with { Blocks = [1, 2, 3] }).Overlap);
    }

    [Fact]
    public void Report_AnswerToAnOldQuestion_DoesNotBringALostReplicaBack()
    {
        var time = new Support.ManualTime();
        var table = new RoutingTable(Settings, new SecondsPolicy(Settings), time);
        var life = View().Replica.Replica;
        table.Adopt([View().Replica]);
        var askedAt = time.GetTimestamp();
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(RouteObstacle.Unreachable, table.Decide(Request with { Lost = [life] }).Obstacle);
        table.Report(life, new(Load(), new() { First = 0, Next = 1, IsSnapshot = true }), askedAt);
        Assert.Equal(RouteObstacle.Unreachable, table.Decide(Request).Obstacle);
        table.Report(life, new(Load(), new() { First = 1, Next = 1 }), time.GetTimestamp());
        Assert.Equal(RouteObstacle.None, table.Decide(Request).Obstacle);
    }

    private static ReplicaLoad Load() => new() { Epoch = 1, KvBlocksTotal = 4096 };

    private static ReplicaView View(ReplicaLoad? load = null, PrefixOverlap overlap = default, BookedWork unseen = default, string id = "a") =>
        new(new() { Replica = new(id, 1), ContextLength = 4096, KvCapacityTokens = 65_536 }, load ?? Load(), Unseen: unseen, Overlap: overlap);
}

using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;

namespace Granary.Tests.Unit.Routing;

/// <summary>The formulas of others, against numbers worked out by hand from what they publish.</summary>
public sealed class PolicyTests
{
    private static readonly ulong[] Prompt = [.. Enumerable.Range(1, 10).Select(i => (ulong)i)];
    private static readonly RouteRequest Request = new() { RequestId = "r", PromptTokens = 160, MaxTokens = 10, Blocks = Prompt };

    public static TheoryData<string> Names => [.. RoutingPolicies.Names];

    /// <summary>16 pending tokens are 1 block, the prompt is 10, of which 6 + 0.75 x 2 + 0.25 x 1 = 7.75 are there: 3.25 to compute. Active: 10.</summary>
    [Fact]
    public void DynamoCost_Defaults()
    {
        var view = View("a", pending: 16, overlap: new(6, 2, 1, 1));
        Assert.Equal(3.25 + 10, new DynamoPolicy(DynamoSettings.Default, new(1)).Cost(view, Request, 0), 9);
        Assert.Equal(16 * 3.25 + 10, new DynamoPolicy(DynamoSettings.Tuned, new(1)).Cost(view, Request, 0), 9);
    }

    /// <summary>Requests that were sent there hold 12 blocks, 4 of them the request's own: 12 + 6 would be active.</summary>
    [Fact]
    public void DynamoCost_ActiveBlocks_CountSharedOnesOnce()
    {
        var policy = new DynamoPolicy(DynamoSettings.Default, new(1));
        var booking = Booked("a", [1, 2, 3, 4, 101, 102, 103, 104, 105, 106]);
        policy.Booked(booking);
        policy.Booked(Booked("a", [1, 2, 3, 4, 101, 102, 103, 104, 111, 112]));
        var view = View("a");
        Assert.Equal(10 + 12 + 6, policy.Cost(view, Request, 0), 9);
        policy.Released(booking);
        Assert.Equal(10 + 10 + 6, policy.Cost(view, Request, 0), 9);
        policy.Removed(view.Replica.Replica);
        Assert.Equal(10 + 10, policy.Cost(view, Request, 0), 9);
    }

    /// <summary>160 tokens more than the least are 10 blocks, 1 for each block of the request: credit 1 / (1 + 0.5 x 1), so 6 blocks count as 4.</summary>
    [Fact]
    public void DynamoCost_CreditDecays_WithActivePrefill()
    {
        var policy = new DynamoPolicy(new() { CreditDecay = 0.5, ActiveRequestWeight = 2 }, new(1));
        Assert.Equal(10 + 10 - 4 + 10 + 2 * 3, policy.Cost(View("a", pending: 160, booked: 3, overlap: new(6, 0, 0, 0)), Request, 0), 9);
    }

    /// <summary>2 x (5 + 0.8 x 2) / 10 + (4 - 1) / (4 - 0) + (1 - 25 / 100).</summary>
    [Fact]
    public void WeightedScore_PrefixQueueAndCache()
    {
        var view = View("a", waiting: 1, used: 25, overlap: new(5, 2, 0, 0));
        Assert.Equal(2 * 0.66 + 0.75 + 0.75, WeightedScorersPolicy.Score(view, Request, 0, 4), 9);
        Assert.Equal(2 * 0.66 + 1 + 0.75, WeightedScorersPolicy.Score(view, Request, 1, 1), 9);
    }

    /// <summary>4 of 10 blocks are more than 0.3; 3 of 10 are not, and the least loaded takes it.</summary>
    [Theory]
    [InlineData(4, 10, 0)]
    [InlineData(3, 10, 1)]
    [InlineData(10, 64, 0)] // 64 - 0 is not more than 64.
    [InlineData(10, 65, 1)]
    public void CacheAware_FollowsAPrefixLongEnough_UnlessLoadsAreFarApart(int matched, int requests, int expected)
    {
        var policy = new CacheAwarePolicy(new(1));
        policy.Booked(Booked("a", Prompt[..matched]));
        Assert.Equal(expected, Pick(policy, View("a", booked: requests), View("b")));
    }

    /// <summary>200 against 130 are more than 64 apart, but not more than 1.5 times: the prefix wins.</summary>
    [Fact]
    public void CacheAware_RelativeBalance()
    {
        var policy = new CacheAwarePolicy(new(1));
        policy.Booked(Booked("a", Prompt));
        Assert.Equal(0, Pick(policy, View("a", booked: 195), View("b", booked: 130)));
        Assert.Equal(1, Pick(policy, View("a", booked: 196), View("b", booked: 130)));
    }

    /// <summary>Requests 4, 0, 0, 0: mean 1, deviation √3, so 4 is over 2.73 and its match is left; 2, 0, 0, 0 is within 0.5 + 0.87 not either; 1 is.</summary>
    [Theory]
    [InlineData(4, 1)]
    [InlineData(2, 1)]
    [InlineData(0, 0)]
    public void PrefixCache_BestMatchAmongThoseNotFarAboveTheMean(int requests, int expected)
    {
        var policy = new PrefixCachePolicy(new(1));
        policy.Booked(Booked("a", Prompt));
        policy.Booked(Booked("b", Prompt[..5]));
        Assert.Equal(expected, Pick(policy, View("a", booked: requests), View("b"), View("c"), View("d")));
    }

    [Fact]
    public void PrefixCache_MoreThanEightApart_LeastRequests()
    {
        var policy = new PrefixCachePolicy(new(1));
        policy.Booked(Booked("a", Prompt));
        Assert.Equal(0, Pick(policy, View("a", booked: 8), View("b", booked: 8), View("c", booked: 16)));
        Assert.Equal(1, Pick(policy, View("a", booked: 8), View("b", booked: 7), View("c", booked: 16)));
    }

    [Fact]
    public void RoundRobin_TakesTurns()
    {
        var policy = new RoundRobinPolicy();
        ReplicaView[] views = [View("a"), View("b"), View("c")];
        Assert.Equal([0, 1, 2, 0], Enumerable.Range(0, 4).Select(_ => Pick(policy, views)));
    }

    [Fact]
    public void PowerOfTwo_NeverPicksTheFullest_AndReachesAllOthers()
    {
        var policy = new PowerOfTwoPolicy(new(1));
        ReplicaView[] views = [View("a", booked: 5), View("b", booked: 1), View("c", booked: 2)];
        Assert.Equal([1, 2], Enumerable.Range(0, 100).Select(_ => Pick(policy, views)).Distinct().Order());
    }

    /// <summary>Ties are as likely for each; equal seeds give equal choices.</summary>
    [Fact]
    public void LeastLoaded_TiesByChance()
    {
        ReplicaView[] views = [View("a", booked: 1), View("b", booked: 1), View("c", booked: 1), View("d", booked: 2)];
        var (one, other) = (new LeastLoadedPolicy(new(7)), new LeastLoadedPolicy(new(7)));
        int[] picks = [.. Enumerable.Range(0, 3000).Select(_ => Pick(one, views))];
        Assert.Equal(picks, Enumerable.Range(0, 3000).Select(_ => Pick(other, views)));
        Assert.All(picks.GroupBy(pick => pick), group => Assert.InRange(group.Count(), 900, 1100));
        Assert.DoesNotContain(3, picks);
    }

    [Theory, MemberData(nameof(Names))]
    public void Create_EachName_PicksACandidate(string name)
    {
        var policy = RoutingPolicies.Create(name, new(), new(1));
        Assert.Equal(name, policy.Name);
        Assert.Equal(0, Pick(policy, View("a")));
    }

    [Fact]
    public void Create_UnknownName_ListsThoseThereAre() =>
        Assert.Contains("seconds, dynamo", Assert.Throws<ArgumentException>(() => RoutingPolicies.Create("best", new(), new(1))).Message, StringComparison.Ordinal);

    private static int Pick(IRoutingPolicy policy, params ReplicaView[] views) =>
        policy.Pick(new(views, [.. Enumerable.Range(0, views.Length)], MeanSpeeds.Of(views, new())), Request);

    private static Booking Booked(string replica, ulong[] blocks) =>
        new(new() { BookingId = Guid.NewGuid(), Replica = new(replica, 1) }, Request with { Blocks = blocks }, default, 0);

    private static ReplicaView View(string id, int booked = 0, long pending = 0, int waiting = 0, int used = 0, PrefixOverlap overlap = default)
    {
        var load = new ReplicaLoad { Epoch = 1, PendingPrefillTokens = pending, WaitingSequences = waiting, KvBlocksTotal = 100, KvBlocksUsed = used };
        return new(new() { Replica = new(id, 1), ContextLength = 4096, KvCapacityTokens = 1600 }, load, BookedRequests: booked, Overlap: overlap);
    }
}

using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;

namespace Granary.Tests.Unit.Routing;

/// <summary>The router's decision, without grains.</summary>
public sealed class ReplicaChooserTests
{
    private static readonly RoutingSettings Settings = new();
    private readonly ReplicaChooser _chooser = new(new SecondsPolicy(Settings), Settings);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 50)];

    /// <summary>What is chosen may take the request, and nothing that may take it is cheaper by more than a tie.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyViews_ChoiceIsAllowedAndNearlyCheapest(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 100; round++)
        {
            var views = Views(random);
            var request = Request(random, views);
            var decision = _chooser.Choose(views.ToArray(), request);
            var allowed = views.FindAll(view => MayTake(view, request));
            if (allowed.Count == 0)
            {
                Assert.Equal(-1, decision.Index);
                Assert.NotEqual(RouteObstacle.None, decision.Obstacle);
                continue;
            }

            var chosen = views[decision.Index];
            Assert.Contains(chosen, allowed);
            var roomy = allowed.FindAll(view => HasRoom(view, request));
            if (roomy.Count > 0) Assert.Contains(chosen, roomy);
            var cheapest = (roomy.Count > 0 ? roomy : allowed).Min(view => Cost(view, request, views));
            Assert.InRange(Cost(chosen, request, views), cheapest, cheapest + Tie(request, views) + 1e-9);
        }
    }

    /// <summary>The order in which replicas stand does not matter.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyViews_OrderDoesNotMatter(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 100; round++)
        {
            var views = Views(random);
            var request = Request(random, views);
            var shuffled = views.ToArray();
            random.Shuffle(shuffled);
            var one = _chooser.Choose(views.ToArray(), request);
            var other = _chooser.Choose(shuffled, request);
            Assert.Equal(one.Obstacle, other.Obstacle);
            if (one.Index >= 0) Assert.Equal(views[one.Index].Replica, shuffled[other.Index].Replica);
        }
    }

    /// <summary>When a replica comes or goes, a prefix moves only from or to it.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void IdleReplicas_OneGoes_OtherPrefixesStay(int seed)
    {
        var random = new Random(seed);
        var views = Enumerable.Range(0, 6).Select(i => new ReplicaView(Descriptor($"m/{i}"), null)).ToList();
        for (var round = 0; round < 100; round++)
        {
            var request = new RouteRequest { RequestId = "r", PromptTokens = 10, MaxTokens = 10, PrefixHash = (ulong)random.NextInt64() };
            var before = views[_chooser.Choose(views.ToArray(), request).Index];
            var fewer = views.ToList();
            fewer.RemoveAt(random.Next(fewer.Count));
            var after = fewer[_chooser.Choose(fewer.ToArray(), request).Index];
            if (fewer.Contains(before)) Assert.Equal(before, after);
        }
    }

    [Fact]
    public void IdleReplicas_PrefixesSpreadEvenly()
    {
        var views = Enumerable.Range(0, 4).Select(i => new ReplicaView(Descriptor($"m/{i}"), null)).ToList();
        var counts = new int[4];
        for (var i = 0; i < 4000; i++)
        {
            var request = new RouteRequest { RequestId = "r", PromptTokens = 10, MaxTokens = 10, PrefixHash = PrefixHash.Of([i, i + 1, i + 2]) };
            counts[_chooser.Choose(views.ToArray(), request).Index]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 900, 1100));
    }

    [Fact]
    public void SlowReplicaIdle_FastReplicaBusy_ComparesSeconds()
    {
        // 1 s of work on the fast one against 2 s of the request itself on the slow one.
        var fast = new ReplicaView(Descriptor("m/0"), Load(pending: 900, secondsPerToken: 0.001) with { Steps = 1L << 40 });
        var slow = new ReplicaView(Descriptor("m/1"), Load(pending: 0, secondsPerToken: 0.02) with { Steps = 1L << 40 });

        var decision = _chooser.Choose([fast, slow], new RouteRequest { RequestId = "r", PromptTokens = 100, MaxTokens = 1 });

        Assert.Equal(0, decision.Index);
        Assert.Equal(1.0, decision.PredictedWaitSeconds, 6);
    }

    [Fact]
    public void DecodingSequences_CountAgainstAReplica()
    {
        var busy = new ReplicaView(Descriptor("m/0"), Load() with { RunningSequences = 8 });
        var idle = new ReplicaView(Descriptor("m/1"), Load());

        for (var prefix = 0UL; prefix < 20; prefix++)
            Assert.Equal(1, _chooser.Choose([busy, idle], new RouteRequest { RequestId = "r", PromptTokens = 1, MaxTokens = 1, PrefixHash = prefix }).Index);
    }

    [Fact]
    public void GroupHasAHome_GoesThereWhateverItCosts()
    {
        var busy = new ReplicaView(Descriptor("m/0"), Load(pending: 100_000) with { RunningSequences = 60, KvBlocksUsed = 256 });
        var idle = new ReplicaView(Descriptor("m/1"), Load());
        var request = new RouteRequest { RequestId = "r", PromptTokens = 100, MaxTokens = 1, Group = "g" };

        Assert.Equal(1, _chooser.Choose([busy, idle], request).Index);
        Assert.Equal(0, _chooser.Choose([busy, idle], request, busy.Replica.Replica).Index);
        Assert.Equal(1, _chooser.Choose([busy with { IsReachable = false }, idle], request, busy.Replica.Replica).Index);
        Assert.Equal(1, _chooser.Choose([busy, idle], request with { Excluded = [busy.Replica.Replica] }, busy.Replica.Replica).Index);
        Assert.Equal(1, _chooser.Choose([busy, idle], request, new("gone", 1)).Index);
    }

    [Fact]
    public void PromptFillsTheContext_FitsWhereNoTokenFollows()
    {
        var request = new RouteRequest { RequestId = "r", PromptTokens = 1024, MaxTokens = 1 };
        Assert.Equal(RouteObstacle.TooLong, _chooser.Choose([new ReplicaView(Descriptor("m/0"), null)], request).Obstacle);
        Assert.Equal(0, _chooser.Choose([new ReplicaView(Descriptor("m/0"), null)], request with { MaxTokens = 0 }).Index);
    }

    [Theory]
    [InlineData(false, false, nameof(RouteObstacle.Excluded))]
    [InlineData(true, false, nameof(RouteObstacle.Unreachable))]
    [InlineData(false, true, nameof(RouteObstacle.TooLong))]
    public void NothingLeft_SaysWhy(bool silent, bool tooLong, string obstacle)
    {
        var view = new ReplicaView(Descriptor("m/0"), null, IsReachable: !silent);
        var request = new RouteRequest
        {
            RequestId = "r",
            PromptTokens = tooLong ? 1024 : 10,
            MaxTokens = 1,
            Excluded = silent || tooLong ? [] : [view.Replica.Replica],
        };

        Assert.Equal(new RouteDecision(-1, default, Enum.Parse<RouteObstacle>(obstacle)), _chooser.Choose([view], request));
    }

    [Fact]
    public void NoReplicas_SaysSo() =>
        Assert.Equal(new RouteDecision(-1, default, RouteObstacle.NoReplica), _chooser.Choose([], new RouteRequest { RequestId = "r", PromptTokens = 1, MaxTokens = 1 }));

    private static ReplicaDescriptor Descriptor(string id, int contextLength = 1024, long capacity = 4096) =>
        new() { Replica = new(id, 1), ContextLength = contextLength, KvCapacityTokens = capacity };

    private static ReplicaLoad Load(long pending = 0, double secondsPerToken = 0.001) => new()
    {
        Epoch = 1,
        PendingPrefillTokens = pending,
        SecondsPerPrefillToken = secondsPerToken,
        SecondsPerDecodeStep = 0.01,
        KvBlocksTotal = 256,
    };

    private static List<ReplicaView> Views(Random random) => [.. Enumerable.Range(0, random.Next(1, 9)).Select(i =>
    {
        var capacity = 16L * random.Next(20, 300);
        var load = random.Next(4) == 0 ? null : new ReplicaLoad
        {
            Epoch = 1,
            RunningSequences = random.Next(40),
            WaitingSequences = random.Next(10),
            PendingPrefillTokens = random.Next(3000),
            KvBlocksTotal = (int)(capacity / 16),
            KvBlocksUsed = random.Next((int)(capacity / 16) + 1),
            SecondsPerPrefillToken = random.Next(3) == 0 ? 0 : random.NextDouble() / 100,
            SecondsPerDecodeStep = random.Next(3) == 0 ? 0 : random.NextDouble() / 10,
        };
        return new ReplicaView(Descriptor($"m/{i}", random.Next(200, 2000), capacity), load, random.Next(5) > 0, 0, Unseen(random));
    })];

    private static BookedWork Unseen(Random random)
    {
        var tokens = random.Next(500);
        return new(random.Next(5), tokens, tokens, tokens * random.NextDouble() / 100);
    }

    private static RouteRequest Request(Random random, List<ReplicaView> views) => new()
    {
        RequestId = "r",
        PromptTokens = random.Next(1, 1500),
        MaxTokens = 1,
        PrefixHash = (ulong)random.NextInt64(),
        Excluded = [.. views.Where(_ => random.Next(4) == 0).Select(view => view.Replica.Replica)],
    };

    private static bool MayTake(ReplicaView view, RouteRequest request) =>
        view.IsReachable && !request.Excluded.Contains(view.Replica.Replica)
        && request.PromptTokens < view.Replica.ContextLength && request.PromptTokens < view.Replica.KvCapacityTokens;

    private static bool HasRoom(ReplicaView view, RouteRequest request) =>
        view.Load is null || (view.Load.KvBlocksTotal - view.Load.KvBlocksUsed) * 16 - view.Unseen.PromptTokens > request.PromptTokens;

    private static double Cost(ReplicaView view, RouteRequest request, List<ReplicaView> all) =>
        RouteCost.Of(view, request, MeanSpeeds.Of([.. all], Settings), Settings).Total;

    private static double Tie(RouteRequest request, List<ReplicaView> all) =>
        Math.Max(Settings.TieSeconds, Settings.TieShare * MeanSpeeds.Of([.. all], Settings).Prefill(0, request.PromptTokens));
}

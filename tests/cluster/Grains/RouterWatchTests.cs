using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Grains;

/// <summary>What a router makes of what models and replicas say, and of those that say nothing.</summary>
public sealed class RouterWatchTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    private const long Epoch = 7;

    private readonly string _model = $"scripted-{Guid.NewGuid():N}";

    private ScriptedModelGrain Model => fixture.Scripts.Model(_model);

    private IRouterGrain Router => fixture.Grains.GetGrain<IRouterGrain>(GrainKeys.Router(null, _model));

    [Fact]
    public async Task RouteAsync_OneReplicaHasThePrefix_GoesThereAndSaysHowMuch()
    {
        var (one, other) = (Replica(0), Replica(1));
        Serve(0, 1);
        var blocks = Blocks(0, 40);
        await AnswerAsync(one);
        await AnswerAsync(other, Snapshot(blocks[..30]));
        await UntilAsync(snapshot => snapshot.Replicas.Sum(replica => replica.KnownBlocks) == 30);

        var ticket = await Router.RouteAsync(Route("a", blocks));

        Assert.Equal(Life(1), ticket.Replica);
        Assert.Equal(30 * 16, ticket.ExpectedCachedTokens);
    }

    [Fact]
    public async Task Watch_EventsAreMissing_AsksForAllOfThem()
    {
        var replica = Replica(0);
        Serve(0);
        await AnswerAsync(replica, Snapshot(Blocks(0, 4)));
        var question = await replica.NextAsync();
        Assert.Equal(5, question.NextEvent);

        question.Tell(Stored(8, Blocks(10, 2))); // 5 to 7 are missing.
        question = await replica.NextAsync();
        Assert.Equal(0, question.NextEvent);
        question.Tell(new KvEvents { First = 0, Next = 10, IsSnapshot = true, Runs = [new(true, KvTier.Device, 3)], Blocks = Blocks(0, 3) });

        Assert.Equal(10, (await replica.NextAsync()).NextEvent);
        Assert.Equal(3, (await Router.GetSnapshotAsync()).Replicas[0].KnownBlocks);
    }

    [Fact]
    public async Task Watch_SnapshotInPages_TakesAllOfThem()
    {
        var replica = Replica(0);
        Serve(0);
        var blocks = Blocks(0, 9);
        await AnswerAsync(replica, Snapshot(blocks[..4]) with { Next = -101 });
        foreach (var (first, next, page) in new[] { (-101L, -102L, blocks[4..8]), (-102L, 50L, blocks[8..]) })
        {
            var question = await replica.NextAsync();
            Assert.Equal(first, question.NextEvent);
            question.Tell(Stored(first, page) with { Next = next });
        }

        Assert.Equal(50, (await replica.NextAsync()).NextEvent);
        Assert.Equal(9, (await Router.GetSnapshotAsync()).Replicas[0].KnownBlocks);
        Assert.Equal(9 * 16, (await Router.RouteAsync(Route("a", blocks))).ExpectedCachedTokens);
    }

    [Fact]
    public async Task RouteAsync_LifeWasLost_NobodyIsSentThereUntilALaterQuestionIsAnswered()
    {
        var (one, other) = (Replica(0), Replica(1));
        Serve(0, 1);
        await AnswerAsync(one);
        await AnswerAsync(other);
        var early = await one.NextAsync();
        using var over = new CancellationTokenSource();
        var answering = AnswerAlwaysAsync(other, over.Token);

        Assert.Equal(Life(1), (await Router.RouteAsync(Route("a") with { Excluded = [Life(0)], Lost = [Life(0)] })).Replica);
        for (var i = 0; i < 8; i++) Assert.Equal(Life(1), (await Router.RouteAsync(Route($"b{i}"))).Replica); // By load it would be the other's turn.
        var late = await one.NextAsync();
        early.Tell();
        Assert.False((await Router.GetSnapshotAsync()).Replicas[0].IsReachable);
        late.Tell();
        await UntilAsync(snapshot => snapshot.Replicas[0].IsReachable);

        // The same loss again is no news.
        Assert.Equal(Life(1), (await Router.RouteAsync(Route("a") with { Excluded = [Life(0)], Lost = [Life(0)] })).Replica);
        Assert.Equal(Life(0), (await Router.RouteAsync(Route("c"))).Replica);
        await over.CancelAsync();
        await answering;
    }

    [Fact]
    public async Task Watch_EpochHasEnded_ForgetsTheLifeAndItsBlocksAtOnce()
    {
        var (one, other) = (Replica(0), Replica(1));
        Serve(0, 1);
        var blocks = Blocks(0, 40);
        await AnswerAsync(one, Snapshot(blocks));
        await AnswerAsync(other);
        await UntilAsync(snapshot => snapshot.Replicas.Sum(replica => replica.KnownBlocks) == 40);

        (await one.NextAsync()).Answer.SetException(new EpochMismatchException("It is over.", Epoch, 0));
        await UntilAsync(snapshot => snapshot.Replicas.Length == 1);

        var ticket = await Router.RouteAsync(Route("a", blocks));
        Assert.Equal((Life(1), 0), (ticket.Replica, ticket.ExpectedCachedTokens));
    }

    [Fact]
    public async Task Watch_ReplicaFallsSilent_IsLeftOutAndKeepsItsBlocks()
    {
        var (one, other) = (Replica(0), Replica(1));
        Serve(0, 1);
        await AnswerAsync(one, Snapshot(Blocks(0, 5)));
        await AnswerAsync(other);
        var silent = await one.NextAsync();
        var answering = AnswerAlwaysAsync(other, silent.Ended);

        await UntilAsync(snapshot => snapshot.Replicas is [{ IsReachable: false, KnownBlocks: 5 }, { IsReachable: true }]);
        await answering; // The question is given up.
        var question = await one.NextAsync();
        Assert.Equal(6, question.NextEvent);
        question.Tell();
        await UntilAsync(snapshot => snapshot.Replicas[0].IsReachable);
    }

    [Fact]
    public async Task RouteAsync_NobodyIsHeard_WaitsForTheFirst()
    {
        var replica = Replica(0);
        Serve(0);
        await AnswerAsync(replica);
        _ = await replica.NextAsync();
        var routing = Router.RouteAsync(Route("a") with { Lost = [Life(0)] });
        var later = await replica.NextAsync();
        Assert.False((await Router.GetSnapshotAsync()).Replicas[0].IsReachable);
        Assert.False(routing.IsCompleted);

        later.Tell();

        Assert.Equal(Life(0), (await routing).Replica);
    }

    [Fact]
    public async Task RouteAsync_NobodyIsHeardForLong_SaysWhenToComeAgain()
    {
        Serve(0);
        await AnswerAsync(Replica(0));

        var error = await Assert.ThrowsAsync<ModelNotReadyException>(() => Router.RouteAsync(Route("a") with { Lost = [Life(0)] }));

        Assert.Contains("No replica", error.Message);
        Assert.Contains("answers", error.Message);
        Assert.True(error.RetryAfter > TimeSpan.Zero);
        Assert.Equal(0, (await Router.GetSnapshotAsync()).Replicas[0].BookedRequests);
    }

    [Fact]
    public async Task RouteAsync_AllAreDraining_SaysSo()
    {
        var replica = Replica(0);
        Serve(0);
        var booked = await Router.RouteAsync(Route("a"));
        (await replica.NextAsync()).Tell(load: new ReplicaLoad { Epoch = Epoch, IsDraining = true });
        await UntilAsync(snapshot => snapshot.Replicas[0].Load is { IsDraining: true });

        var error = await Assert.ThrowsAsync<ModelNotReadyException>(() => Router.RouteAsync(Route("b")));

        Assert.Contains("will end", error.Message);
        Assert.Equal(1, (await Router.GetSnapshotAsync()).Replicas[0].BookedRequests); // It goes on there.
        await Router.ReleaseAsync(booked.BookingId);
    }

    [Fact]
    public async Task ModelsGrainFails_KeepsWhatIsKnown()
    {
        Serve(0);
        await AnswerAsync(Replica(0));
        await UntilAsync(snapshot => snapshot.Replicas is [{ Load: not null }]);

        Model.Fail(new SiloUnavailableException("It is gone."));
        Assert.Equal(Life(0), (await Router.RouteAsync(Route("a"))).Replica);
        Model.Say(status => status with { Replicas = [Descriptor(1)] });

        await UntilAsync(snapshot => snapshot.Replicas is [{ Replica: var life }] && life == Life(1));
    }

    [Fact]
    public async Task ModelsGrainIsNewAndRecovers_LivesItHasNotHeardOfStayUntilItHas()
    {
        Serve(0, 1);
        await UntilAsync(snapshot => snapshot.Replicas.Length == 2);

        Model.Say(status => status with { Activation = 2, IsRecovering = true, Replicas = [Descriptor(1)] });
        Model.Say(status => status with { Replicas = [Descriptor(1), Descriptor(2)] });
        await UntilAsync(snapshot => snapshot.Replicas.Length == 3);
        Model.Say(status => status with { Replicas = [Descriptor(2)] }); // One that it had told of goes at once.
        await UntilAsync(snapshot => Ids(snapshot).SetEquals([Life(0), Life(2)]));
        Model.Say(status => status with { IsRecovering = false });

        await UntilAsync(snapshot => Ids(snapshot).SetEquals([Life(2)]));
    }

    [Fact]
    public async Task RouteAsync_NoReplicaIsKnown_AsksTheModelBeforeItRefuses()
    {
        Model.Fail(new SiloUnavailableException("It is gone."));
        await Assert.ThrowsAsync<ModelNotReadyException>(() => Router.RouteAsync(Route("a")));

        Serve(0);

        // Perhaps before the poll is tried again.
        var ticket = await GrainsFixture.UntilAsync(() => Record(Router.RouteAsync(Route("b"))), ticket => ticket is not null);
        Assert.Equal(Life(0), ticket!.Replica);
    }

    [Fact]
    public async Task QuarantineAsync_RequestThatEndedReplicas_IsRefusedAndTold()
    {
        Serve(0);
        await Router.QuarantineAsync(77, "It ended two lives.");

        var error = await Assert.ThrowsAsync<RequestQuarantinedException>(() => Router.RouteAsync(Route("a") with { Fingerprint = 77 }));

        Assert.Contains("It ended two lives.", error.Message);
        Assert.Equal(77UL, await Model.Quarantines.Reader.ReadAsync());
        Assert.Equal(Life(0), (await Router.RouteAsync(Route("b") with { Fingerprint = 78 })).Replica);
    }

    [Fact]
    public async Task QuarantineAsync_AnotherRouterOfTheModel_RefusesItToo()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var silo = GrainKeys.SiloOf(fixture.Worker).ToString();
        var (own, shared) = (fixture.Grains.GetGrain<IRouterGrain>(GrainKeys.Router(silo, model)), fixture.Grains.GetGrain<IRouterGrain>(GrainKeys.Router(null, model)));
        await shared.RouteAsync(Route("a"));

        await own.QuarantineAsync(99, "It ended two lives.");

        await GrainsFixture.UntilAsync(
            async () => await Xunit.Record.ExceptionAsync(() => shared.RouteAsync(Route("b") with { Fingerprint = 99 })), error => error is RequestQuarantinedException);
        var listed = Assert.Single((await fixture.Model(model).GetStatusAsync()).Quarantined);
        Assert.Equal((99UL, "It ended two lives."), (listed.Fingerprint, listed.Reason));
        Assert.InRange(listed.Remaining, TimeSpan.FromTicks(1), ModelWatch.Quarantine);
    }

    [Fact]
    public async Task Router_OfASiloThatIsNotActive_IsNotPlacedElsewhere()
    {
        var router = fixture.Grains.GetGrain<IRouterGrain>(GrainKeys.Router("elsewhere", _model));

        await Assert.ThrowsAsync<SiloUnavailableException>(() => router.RouteAsync(Route("a")));
    }

    private void Serve(params int[] replicas) =>
        Model.Say(status => status with { WantedReplicas = replicas.Length, Replicas = Array.ConvertAll(replicas, Descriptor) });

    private ScriptedWatch Replica(int index)
    {
        _ = Model; // Both are scripted, or none is.
        return fixture.Scripts.Replica(Life(index).ReplicaId);
    }

    private ReplicaLife Life(int index) => new($"silo/cpu/{_model}/{index}", Epoch);

    private ReplicaDescriptor Descriptor(int index)
    {
        Replica(index);
        return new() { Replica = Life(index), ContextLength = 4096, KvCapacityTokens = 1 << 20 };
    }

    private async Task AnswerAsync(ScriptedWatch replica, KvEvents? kv = null)
    {
        _ = await Router.GetSnapshotAsync(); // It is there, and asks.
        (await replica.NextAsync()).Tell(kv ?? Snapshot([]));
    }

    private static async Task AnswerAlwaysAsync(ScriptedWatch replica, CancellationToken until)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var _ = until.Register(ended.SetResult);
        while (!until.IsCancellationRequested)
        {
            var next = replica.NextAsync();
            if (await Task.WhenAny(next, ended.Task) == next) (await next).Tell();
        }
    }

    private Task<RouterSnapshot> UntilAsync(Func<RouterSnapshot, bool> isAwaited) => GrainsFixture.UntilAsync(() => Router.GetSnapshotAsync(), isAwaited);

    private static HashSet<ReplicaLife> Ids(RouterSnapshot snapshot) => [.. snapshot.Replicas.Select(replica => replica.Replica)];

    private static async Task<Ticket?> Record(Task<Ticket> routing)
    {
        try
        {
            return await routing;
        }
        catch (ModelNotReadyException)
        {
            return null;
        }
    }

    private static RouteRequest Route(string id, ulong[]? blocks = null) =>
        new() { RequestId = id, PromptTokens = ((blocks?.Length ?? 1) * 16) + 1, MaxTokens = 10, PrefixHash = 3, Blocks = blocks ?? [] };

    private static ulong[] Blocks(int first, int count) => [.. Enumerable.Range(first, count).Select(block => 1_000_003UL * (ulong)(block + 1))];

    private static KvEvents Snapshot(ulong[] blocks) => Stored(0, blocks) with { Next = blocks.Length + 1, IsSnapshot = true };

    private static KvEvents Stored(long first, ulong[] blocks) =>
        new() { First = first, Next = first + blocks.Length, Runs = [new(true, KvTier.Device, blocks.Length)], Blocks = blocks };
}

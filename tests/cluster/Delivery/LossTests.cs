using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>Streams whose replicas are killed: where they go on, and with what.</summary>
public sealed class LossTests
{
    private readonly DriverWorld _world = new();

    [Fact]
    public async Task Killed_BeforeTheFirstToken_GoesOnElsewhere()
    {
        var reader = _world.Read();
        var (begun, _) = await _world["m/1"].NextSubmissionAsync();

        _world["m/1"].Break(new SiloUnavailableException("gone"));
        var (again, slot) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((slot, 0, null), (slot, 1, FinishReason.Stop));

        Assert.Equal([0, 1], (await reader.RestAsync()).Select(chunk => chunk.Index));
        Assert.Equal(begun, again);
    }

    [Fact]
    public async Task Killed_InTheMiddle_AnotherLifeGetsWhatWasDelivered()
    {
        var request = DriverWorld.Request(maxTokens: 10);
        var reader = _world.Read(request);
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 0, null), (slot, 1, null));
        await reader.ExpectAsync(0, 1);

        _world["m/1"].Break(new SiloUnavailableException("gone"));
        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((next, 2, null), (next, 3, FinishReason.Stop));

        Assert.Equal([102, 103], (await reader.RestAsync()).Select(chunk => chunk.TokenId));
        Assert.Equal([1, 2, 3, 100, 101], replay.PromptTokenIds);
        Assert.Equal((2, false, request.Sampling), (replay.ReplayedTokens, replay.IsSuspect, replay.Sampling));
        var (first, second) = (await _world.NextRouteAsync(), await _world.NextRouteAsync());
        Assert.Equal((3, 10), (first.PromptTokens, first.MaxTokens));
        Assert.Equal((5, 8), (second.PromptTokens, second.MaxTokens));
        Assert.Equal((first.Fingerprint, first.PrefixHash), (second.Fingerprint, second.PrefixHash));
        Assert.Equal([new ReplicaLife("m/1", DriverWorld.Epoch)], second.Excluded);
        Assert.Equal(second.Excluded, second.Lost);
        Assert.Equal(["route", "release m/1", "route", "release m/2"], _world.Events);
    }

    [Fact]
    public async Task Killed_BetweenTheLastTokenAndTheEnd_NobodyIsAsked()
    {
        var reader = _world.Read(DriverWorld.Request(maxTokens: 2));
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 0, null), (slot, 1, null));
        await reader.ExpectAsync(0, 1);

        _world["m/1"].Break(new SiloUnavailableException("gone"));

        var end = Assert.Single(await reader.RestAsync());
        Assert.Equal((2, -1, FinishReason.Length), (end.Index, end.TokenId, end.FinishReason));
        Assert.Equal(["route", "release m/1"], _world.Events);
    }

    [Fact]
    public async Task FiguresAndPromptLogprobs_AreThoseOfTheFirstLife()
    {
        TokenLogprobs[] prompt = [new(-1, [], []), new(-2, [], [])];
        var reader = _world.Read(DriverWorld.Request() with { PromptLogprobs = 0 });
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say(new StepTokens
        {
            Epoch = 7,
            Slots = [slot],
            Indexes = [0],
            TokenIds = [100],
            Details = [new() { Entry = 0, CachedPromptTokens = 48, PromptLogprobs = prompt }],
        });
        Assert.Equal((48, prompt), (await reader.NextAsync() is var first ? (first.CachedPromptTokens, first.PromptLogprobs) : default));

        _world["m/1"].Break(new TimeoutException("silent"));
        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say(new StepTokens
        {
            Epoch = 7,
            Slots = [next],
            Indexes = [1],
            TokenIds = [101],
            Details = [new() { Entry = 0, CachedPromptTokens = 16, Logprobs = new(-3, [], []), FinishReason = FinishReason.Stop }],
        });

        Assert.Null(replay.PromptLogprobs);
        var last = Assert.Single(await reader.RestAsync());
        Assert.Equal((48, -3f), (last.CachedPromptTokens, last.Logprobs!.Chosen));
    }

    [Fact]
    public async Task ResumedRequest_GoesOnBehindItsTokens()
    {
        var reader = _world.Read(DriverWorld.Request(maxTokens: 10) with { PromptTokenIds = [1, 2, 3, 100, 101], ReplayedTokens = 2 });
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 2, null));
        Assert.Equal(2, (await reader.NextAsync()).Index);

        _world["m/1"].Break(new SiloUnavailableException("gone"));
        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((next, 3, FinishReason.Stop));

        Assert.Equal(3, Assert.Single(await reader.RestAsync()).Index);
        Assert.Equal((3, 6), (replay.ReplayedTokens, replay.PromptTokenIds.Length));
        var other = new DriverWorld();
        var plain = other.Read(DriverWorld.Request());
        Assert.Equal((await other.NextRouteAsync()).Fingerprint, (await _world.NextRouteAsync()).Fingerprint); // Of the prompt alone.
        await plain.Caller.CancelAsync();
    }

    [Fact]
    public async Task ResumedRequest_WithAllItsTokens_EndsWithoutAReplica()
    {
        var reader = _world.Read(DriverWorld.Request(maxTokens: 2) with { PromptTokenIds = [1, 2, 3, 100, 101], ReplayedTokens = 2 });

        Assert.Equal((2, FinishReason.Length), Assert.Single(await reader.RestAsync()) is var end ? (end.Index, end.FinishReason) : default);
        Assert.Empty(_world.Events);
    }

    [Fact]
    public async Task NobodyIsReady_AfterItWasTaken_IsWaitedFor_AndTheLostMayComeBack()
    {
        var reader = _world.Read();
        await _world["m/1"].NextSubmissionAsync();
        _world.Pick = _ => throw DriverWorld.NotReady;
        _world["m/1"].Break(new SiloUnavailableException("gone"));
        for (var failures = 2; failures < 5; failures++) await _world.PassPauseAsync(failures);
        await _world.Time.ArmedFor(_world.Now + TimeSpan.FromMilliseconds(200)).WaitAsync(GrainsFixture.Patience);

        _world.Pick = route => route.Excluded.Length == 0 ? "m/1" : throw DriverWorld.NotReady;
        await _world.PassPauseAsync(5);
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 0, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Equal(0, _world.Booked);
    }

    [Fact]
    public async Task NobodyIsReady_ForTooLong_IsALoss()
    {
        var world = new DriverWorld(new() { MaxWait = TimeSpan.FromMilliseconds(60) });
        var reader = world.Read();
        await world["m/1"].NextSubmissionAsync();
        world.Pick = _ => throw DriverWorld.NotReady;
        world["m/1"].Break(new SiloUnavailableException("gone"));
        await world.PassPauseAsync(2);
        await world.PassAsync(TimeSpan.FromMilliseconds(35)); // What is left.

        Assert.Contains("00:00:00.06", (await Assert.ThrowsAsync<ReplicaFailedException>(reader.RestAsync)).Message);
    }

    [Fact]
    public async Task Deadline_PassesWhileNobodyIsReady_EndsTheRequest()
    {
        var reader = _world.Read(DriverWorld.Request() with { Deadline = _world.Time.GetUtcNow().AddSeconds(5) });
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 0, null));
        await reader.NextAsync();
        _world.Pick = _ => throw DriverWorld.NotReady;
        _world["m/1"].Break(new SiloUnavailableException("gone"));
        await _world.Time.ArmedFor(_world.Now + TimeSpan.FromMilliseconds(25)).WaitAsync(GrainsFixture.Patience);

        _world.Time.Advance(TimeSpan.FromSeconds(6));

        Assert.Equal((1, -1, FinishReason.Deadline), Assert.Single(await reader.RestAsync()) is var end ? (end.Index, end.TokenId, end.FinishReason) : default);
        Assert.Equal(0, _world.Booked);
    }

    [Fact]
    public async Task Refusals_AfterItWasTaken_CountForTheirRoundAlone()
    {
        var reader = _world.Read();
        await _world["m/1"].NextSubmissionAsync();
        _world["m/2"].Refusals.Enqueue(new ReplicaSaturatedException("full", TimeSpan.FromSeconds(1)));
        _world["m/3"].Refusals.Enqueue(new EpochMismatchException("other life", 7, 8));
        _world["m/1"].Break(new SiloUnavailableException("gone"));
        await _world.PassPauseAsync(2); // Two were asked; then it waits.

        var (_, slot) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((slot, 0, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        for (var i = 0; i < 3; i++) await _world.NextRouteAsync();
        var last = await _world.NextRouteAsync();
        Assert.Equal([new ReplicaLife("m/1", DriverWorld.Epoch)], last.Excluded);
    }

    [Fact]
    public async Task SubmissionIsNotAnswered_AnotherIsAsked_AndTheLateOneIsCancelled()
    {
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _world["m/1"].Answering = answer.Task;
        var reader = _world.Read();
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        await _world.PassAsync(new SurvivalOptions().AnswerLimit);

        var (_, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((next, 0, FinishReason.Stop));
        Assert.Single(await reader.RestAsync());
        answer.SetResult();

        Assert.Equal(slot, await _world["m/1"].NextCancellationAsync());
    }

    [Theory]
    [InlineData("submitting")]
    [InlineData("waiting")]
    [InlineData("streaming")]
    [InlineData("pausing")]
    public async Task Cancelled_AtAnyPhase_GivesEverythingBack(string phase)
    {
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (phase == "submitting") _world["m/1"].Answering = answer.Task;
        var reader = _world.Read();
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        if (phase != "submitting") await _world.WhenWatchedAsync();
        if (phase == "streaming")
        {
            _world["m/1"].Say((slot, 0, null));
            await reader.NextAsync();
        }

        if (phase == "pausing")
        {
            _world.Pick = _ => throw DriverWorld.NotReady;
            _world["m/1"].Break(new SiloUnavailableException("gone"));
            await _world.Time.ArmedFor(_world.Now + TimeSpan.FromMilliseconds(25)).WaitAsync(GrainsFixture.Patience);
        }

        await reader.Caller.CancelAsync();
        answer.SetResult();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(reader.RestAsync);
        await reader.Ended;
        Assert.Equal(0, _world.Booked);
        if (phase != "pausing") Assert.Equal(slot, await _world["m/1"].NextCancellationAsync());
    }

    [Fact]
    public async Task OwnRouterIsGone_TheSharedOneIsAsked()
    {
        var world = new DriverWorld(silo: "here");
        world.DeadRouters.Add("here/m");
        var reader = world.Read();
        var (_, slot) = await world["m/1"].NextSubmissionAsync();
        world["m/1"].Say((slot, 0, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Equal(["here/m", "/m"], world.RoutersAsked.Distinct());
    }

    [Fact]
    public async Task NoRouterAnswers_IsTriedUntilOneDoes()
    {
        _world.DeadRouters.Add("/m");
        var reader = _world.Read();
        await _world.Time.ArmedFor(TimeSpan.FromMilliseconds(25)).WaitAsync(GrainsFixture.Patience);
        _world.DeadRouters.Clear();
        _world.Time.Advance(TimeSpan.FromMilliseconds(25));

        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 0, FinishReason.Stop));
        Assert.Single(await reader.RestAsync());
    }
}

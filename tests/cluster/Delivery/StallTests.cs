using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>Replicas that freeze, stand still, are slow, or end in order: who is left, and who is not.</summary>
public sealed class StallTests
{
    private static readonly TimeSpan Heartbeat = ReaderLease.BusyHeartbeat;

    private readonly DriverWorld _world = new();

    [Fact]
    public async Task Frozen_IsLeftWithinTheSilenceLimit_AndItsLateTokensAreDropped()
    {
        var (reader, slot) = await BeginAsync();

        _world.Pass(new SurvivalOptions().SilenceLimit);
        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/1"].Say((slot, 1, null), (slot, 2, FinishReason.Stop)); // It wakes.
        _world["m/2"].Say((next, 1, null), (next, 2, null), (next, 3, FinishReason.Stop));

        Assert.Equal([1, 2, 3], (await reader.RestAsync()).Select(chunk => chunk.Index));
        Assert.Equal(1, replay.ReplayedTokens);
        Assert.Equal(slot, await _world["m/1"].NextCancellationAsync());
        Assert.Equal(0, _world.Booked);
    }

    [Fact]
    public async Task Frozen_EveryStreamOfTheLifeIsLostAtOnce()
    {
        var (one, _) = await BeginAsync();
        var (other, _) = await BeginAsync();

        _world.Pass(new SurvivalOptions().SilenceLimit);
        for (var i = 0; i < 2; i++)
        {
            var (_, slot) = await _world["m/2"].NextSubmissionAsync();
            _world["m/2"].Say((slot, 1, FinishReason.Stop));
        }

        Assert.Equal(1, Assert.Single(await one.RestAsync()).Index);
        Assert.Equal(1, Assert.Single(await other.RestAsync()).Index);
    }

    [Fact]
    public async Task ThisProcessWasLate_NobodyIsBlamed()
    {
        var (reader, slot) = await BeginAsync();

        _world.Time.Advance(TimeSpan.FromSeconds(9)); // As one pause.
        _world.Pass(new SurvivalOptions().SilenceLimit - TimeSpan.FromMilliseconds(1));
        _world["m/1"].Say((slot, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Single(_world.Events, "route");
    }

    [Fact]
    public async Task StepsStandStill_IsLeftThoughItsHeartbeatsCome()
    {
        var (reader, slot) = await BeginAsync();

        await _world["m/1"].BeatAsync(steps: 9);
        await BeatAsync(6, steps: _ => 9); // 1.2 s.
        var (_, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((next, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Equal(slot, await _world["m/1"].NextCancellationAsync());
    }

    [Theory]
    [InlineData(0.1, 4, true)] // Steps stand still for less than a second.
    [InlineData(2, 49, true)] // Less than five of its steps.
    [InlineData(0, 49, true)] // Less than a first step may take.
    [InlineData(0.1, 300, false)] // A minute in the queue, while steps advance.
    public async Task SlowAndProgressing_IsNotLeft(double stepSeconds, int beats, bool standsStill)
    {
        var (reader, slot) = await BeginAsync();

        await _world["m/1"].BeatAsync(steps: 9, stepSeconds);
        await BeatAsync(beats, steps: beat => standsStill ? 9 : 10 + beat, stepSeconds);
        _world["m/1"].Say((slot, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Single(_world.Events, "route");
    }

    [Fact]
    public async Task StoodStillOnce_TheNextLifeGetsTwiceAsLong()
    {
        var (reader, _) = await BeginAsync();
        await _world["m/1"].BeatAsync(steps: 9);
        await BeatAsync(6, steps: _ => 9);
        var (_, slot) = await _world["m/2"].NextSubmissionAsync();
        await _world.WhenWatchedAsync();

        await _world["m/2"].BeatAsync(steps: 9);
        for (var beat = 0; beat < 9; beat++)
        {
            _world.Time.Advance(Heartbeat);
            await _world["m/2"].BeatAsync(steps: 9);
        }

        _world["m/2"].Say((slot, 1, FinishReason.Stop));
        Assert.Single(await reader.RestAsync());
    }

    [Fact]
    public async Task GapsThatWereSeen_RaiseTheLimit()
    {
        var (reader, slot) = await BeginAsync();
        for (var beat = 0; beat < 3; beat++)
        {
            _world.Pass(TimeSpan.FromMilliseconds(600));
            await _world["m/1"].BeatAsync(steps: beat);
        }

        _world.Pass(TimeSpan.FromMilliseconds(2200)); // Less than four times 600.
        _world["m/1"].Say((slot, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Single(_world.Events, "route");
    }

    [Fact]
    public async Task Draining_WithSomewhereElse_MovesWithoutALoss()
    {
        var (reader, slot) = await BeginAsync();

        _world["m/1"].Say(new StepTokens { Epoch = 7, Steps = 1, IsDraining = true });
        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        Assert.Equal(slot, await _world["m/1"].NextCancellationAsync());
        _world["m/2"].Say((next, 1, FinishReason.Stop));

        Assert.Equal(1, Assert.Single(await reader.RestAsync()).Index);
        Assert.Equal((1, false), (replay.ReplayedTokens, replay.IsSuspect));
        await _world.NextRouteAsync();
        var route = await _world.NextRouteAsync();
        Assert.Equal([new ReplicaLife("m/1", DriverWorld.Epoch)], route.Excluded);
        Assert.Empty(route.Lost);
        Assert.Equal(["route", "route", "release m/1", "release m/2"], _world.Events);
    }

    [Theory]
    [InlineData(false)] // No other is ready.
    [InlineData(true)] // The other does not take it.
    public async Task Draining_WithNowhereElse_StaysAndAsksAgain(bool refused)
    {
        var (reader, slot) = await BeginAsync();
        await _world.NextRouteAsync();
        if (refused) _world["m/2"].Refusals.Enqueue(new GrainInterfaces.Errors.ReplicaSaturatedException("full", TimeSpan.FromSeconds(1)));
        else _world.Pick = _ => throw DriverWorld.NotReady;

        await _world["m/1"].BeatAsync(1, isDraining: true);
        await _world.NextRouteAsync();
        _world["m/1"].Say((slot, 1, null));
        Assert.Equal(1, (await reader.NextAsync()).Index);
        _world.Pick = _ => "m/2";
        for (var beat = 0; beat < 5; beat++)
        {
            _world.Time.Advance(Heartbeat);
            await _world["m/1"].BeatAsync(2 + beat, isDraining: true);
        }

        var (replay, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((next, 2, FinishReason.Stop));

        Assert.Equal(2, Assert.Single(await reader.RestAsync()).Index);
        Assert.Equal(2, replay.ReplayedTokens);
        Assert.Equal(0, _world.Booked);
    }

    [Fact]
    public async Task Draining_EndsInTheOldLifeWhileItStays()
    {
        var (reader, slot) = await BeginAsync();
        _world.Pick = _ => throw DriverWorld.NotReady;

        await _world["m/1"].BeatAsync(1, isDraining: true);
        _world["m/1"].Say((slot, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Empty(_world["m/1"].Cancelled);
    }

    [Fact]
    public async Task EmbeddingIsLost_AnotherLifeAnswers()
    {
        _world["m/1"].Embed = _ => throw new SiloUnavailableException("gone");
        _world["m/2"].Embed = _ => Task.FromResult(new EmbedResult([1], 2));

        var result = await _world.Client.EmbedAsync(new() { RequestId = "e", Model = "m", TokenIds = [1, 2] }).WaitAsync(GrainsFixture.Patience);

        Assert.Equal([1], result.Vector);
        Assert.Equal(["route", "release m/1", "route", "release m/2"], _world.Events);
    }

    [Theory]
    [InlineData("standing")]
    [InlineData("gone")]
    [InlineData("other life")]
    public async Task EmbeddingHangs_AnotherLifeAnswers(string how)
    {
        var left = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _world["m/1"].Embed = async token =>
        {
            using var registration = token.Register(left.SetResult);
            await left.Task;
            throw new OperationCanceledException(token);
        };
        _world["m/1"].Load = () => how == "gone"
            ? throw new SiloUnavailableException("gone")
            : new ReplicaLoad { Epoch = how == "other life" ? 8 : DriverWorld.Epoch, Steps = 5, RunningSequences = 1, LongestStepSeconds = 0.1 };
        _world["m/2"].Embed = _ => Task.FromResult(new EmbedResult([1], 2));

        var embedding = _world.Client.EmbedAsync(new() { RequestId = "e", Model = "m", TokenIds = [1, 2] });
        for (var look = 0; look < (how == "standing" ? 3 : 1); look++) await _world.PassAsync(new SurvivalOptions().AnswerLimit);

        var result = await embedding.WaitAsync(GrainsFixture.Patience);
        Assert.Equal([1], result.Vector);
        await left.Task.WaitAsync(GrainsFixture.Patience);
        Assert.Equal(0, _world.Booked);
    }

    /// <summary>A stream that got its first token of m/1, and is watched.</summary>
    private async Task<(RequestReader Reader, long Slot)> BeginAsync()
    {
        var reader = _world.Read();
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        await _world.WhenWatchedAsync();
        _world["m/1"].Say((slot, 0, null));
        Assert.Equal(0, (await reader.NextAsync()).Index);
        return (reader, slot);
    }

    private async Task BeatAsync(int count, Func<int, long> steps, double stepSeconds = 0.1)
    {
        for (var beat = 0; beat < count; beat++)
        {
            _world.Time.Advance(Heartbeat);
            await _world["m/1"].BeatAsync(steps(beat), stepSeconds);
        }
    }
}

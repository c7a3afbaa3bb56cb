using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>Requests that end the replicas that take them, and those that only were there.</summary>
public sealed class PoisonTests
{
    private readonly DriverWorld _world = new();

    [Fact]
    public async Task InFailedStep_ComesBackSuspect_AndAloneInAnotherIsQuarantined()
    {
        var reader = _world.Read();
        var (begun, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Fail(slot, wasInFailedStep: true);
        var (suspect, next) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Fail(next, wasInFailedStep: true);

        var error = await Assert.ThrowsAsync<RequestQuarantinedException>(reader.RestAsync);

        Assert.Equal((false, true), (begun.IsSuspect, suspect.IsSuspect));
        Assert.Equal(2, error.Failures);
        Assert.Equal((await _world.NextRouteAsync()).Fingerprint, Assert.Single(_world.Quarantined).Fingerprint);
        Assert.Equal(0, _world.Booked);
    }

    [Fact]
    public async Task Suspect_ThatPassesThePlace_IsOneOfMany()
    {
        var reader = _world.Read();
        var (_, slot) = await _world["m/1"].NextSubmissionAsync();
        _world["m/1"].Fail(slot, wasInFailedStep: true);
        (_, slot) = await _world["m/2"].NextSubmissionAsync();
        _world["m/2"].Say((slot, 0, null));
        await reader.NextAsync();
        _world["m/2"].Break(new SiloUnavailableException("gone"));
        var (third, next) = await _world["m/3"].NextSubmissionAsync();
        _world["m/3"].Fail(next, wasInFailedStep: true);
        await _world.PassPauseAsync(2);
        var (fourth, last) = await _world["m/4"].NextSubmissionAsync();
        _world["m/4"].Say((last, 1, FinishReason.Stop));

        Assert.Single(await reader.RestAsync());
        Assert.Equal((false, true), (third.IsSuspect, fourth.IsSuspect));
        Assert.Empty(_world.Quarantined);
    }

    [Fact]
    public async Task NotInTheFailedStep_IsNoSuspect()
    {
        var reader = _world.Read();
        for (var life = 1; life <= 4; life++)
        {
            var (request, slot) = await _world[$"m/{life}"].NextSubmissionAsync();
            Assert.False(request.IsSuspect);
            if (life == 4) _world["m/4"].Say((slot, 0, FinishReason.Stop));
            else _world[$"m/{life}"].Fail(slot, wasInFailedStep: false);
            if (life is 2 or 3) await _world.PassPauseAsync(life);
        }

        Assert.Single(await reader.RestAsync());
    }

    [Fact]
    public async Task LivesThatEndWithoutAWord_TheThirdWhileSuspectIsTheEnd()
    {
        var reader = _world.Read();
        for (var life = 1; life <= 3; life++)
        {
            var (request, _) = await _world[$"m/{life}"].NextSubmissionAsync();
            Assert.Equal(life == 3, request.IsSuspect);
            await _world.WhenWatchedAsync();
            _world[$"m/{life}"].Break(new SiloUnavailableException("gone"));
            if (life == 2) await _world.PassPauseAsync(2);
        }

        var error = await Assert.ThrowsAsync<ReplicaFailedException>(reader.RestAsync);

        Assert.Contains("3 lives", error.Message);
        Assert.Empty(_world.Quarantined); // Nobody knows.
    }

    [Fact]
    public async Task LivesThatEndWithoutAWord_WithTokensBetween_GoOn()
    {
        var reader = _world.Read();
        for (var life = 1; life <= 5; life++)
        {
            var (_, slot) = await _world[$"m/{life}"].NextSubmissionAsync();
            _world[$"m/{life}"].Say((slot, life - 1, life == 5 ? FinishReason.Stop : null));
            Assert.Equal(life - 1, (await reader.NextAsync()).Index);
            if (life < 5) _world[$"m/{life}"].Break(new SiloUnavailableException("gone"));
        }

        Assert.Empty(await reader.RestAsync());
    }

    [Fact]
    public void Judge_SuddenEndWhileSuspectOfAFailedStep_NeedsAThird()
    {
        var suspicion = new Suspicion();
        Assert.Equal(Verdict.GoOn, suspicion.Judge(new(LossReason.Crash, "") { WasInFailedStep = true }, wasAlone: false));
        Assert.Equal(Verdict.GoOn, suspicion.Judge(new(LossReason.Stall, "") { IsSudden = true }, wasAlone: true));
        Assert.Equal(Verdict.GiveUp, suspicion.Judge(new(LossReason.Crash, "") { IsSudden = true }, wasAlone: true));
        suspicion.Clear();
        Assert.Equal((false, 0), (suspicion.IsSuspect, suspicion.Ends));
    }

    /// <summary>Messages may be lost as well: who falls silent is not as good as dead.</summary>
    [Theory]
    [InlineData(4, "GoOn")]
    [InlineData(5, "GiveUp")]
    public void Judge_SilenceWhileSuspect_NeedsAFifth(int silences, string verdict)
    {
        var suspicion = new Suspicion();
        var last = Verdict.GoOn;
        for (var i = 0; i < silences; i++) last = suspicion.Judge(new(LossReason.Stall, "") { IsSudden = true }, wasAlone: suspicion.IsSuspect);

        Assert.Equal(verdict, last.ToString());
    }
}

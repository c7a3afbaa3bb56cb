using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Engines' lives on a silo, without a silo around them.</summary>
public sealed class EngineHostTests
{
    private readonly ScriptedReplicaFactory _factory = new();

    [Fact]
    public async Task LoadAsync_ManyAtOnce_LoadOnce()
    {
        await using var host = Host(new ScriptedModel());

        var replicas = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => host.LoadAsync(Spec("m/0"))));

        Assert.Single(replicas.Distinct());
        Assert.Equal(1, _factory.LoadsOf("m/0"));
        Assert.Equal([replicas[0]], host.Replicas);
    }

    [Fact]
    public async Task LoadAsync_LaterLives_HaveLargerEpochs()
    {
        await using var host = Host(new ScriptedModel());
        var epochs = new List<long>();
        for (var life = 0; life < 3; life++)
        {
            epochs.Add((await host.LoadAsync(Spec("m/0"))).Epoch);
            await host.UnloadAsync("m/0");
        }

        await using var restarted = Host(new ScriptedModel());
        epochs.Add((await restarted.LoadAsync(Spec("m/0"))).Epoch);

        Assert.Equal(epochs.Order(), epochs);
        Assert.Equal(4, epochs.Distinct().Count());
    }

    [Fact]
    public async Task LoadAsync_CallerLeaves_OthersGetTheReplica()
    {
        using var gate = new ManualResetEventSlim();
        await using var host = Host(new ScriptedModel { BeforeLoad = (_, _) => gate.Wait(GrainsFixture.Patience) });
        using var leaving = new CancellationTokenSource();

        var left = host.LoadAsync(Spec("m/0"), leaving.Token);
        var stayed = host.LoadAsync(Spec("m/0"));
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => left);
        gate.Set();

        Assert.Equal("m/0", (await stayed).ReplicaId);
        Assert.Equal(1, _factory.LoadsOf("m/0"));
    }

    [Fact]
    public async Task LoadAsync_AfterAFailedOne_TriesAgain()
    {
        await using var host = Host(new ScriptedModel
        {
            BeforeLoad = (_, number) =>
            {
                if (number == 1) throw new IOException("model.onnx is not there.");
            },
        });

        var error = await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Spec("m/0")));
        await host.UnloadAsync("m/0");
        var replica = await host.LoadAsync(Spec("m/0"));

        Assert.Contains("model.onnx is not there.", error.Message);
        Assert.Same(replica, host.Find("m/0"));
    }

    [Fact]
    public async Task Probe_NoTokenInTime_FailsTheLoad()
    {
        var time = new ManualTime();
        await using var host = Host(new ScriptedModel { Prepare = (executor, _) => executor.Hold() }, time: time);

        var loading = host.LoadAsync(Spec("m/0"));
        var life = await _factory.Life("m/0").WaitAsync(GrainsFixture.Patience);
        await life.Executor.StepReached(1).WaitAsync(GrainsFixture.Patience);
        await time.Armed.WaitAsync(GrainsFixture.Patience);
        time.Advance(TimeSpan.FromSeconds(61));
        life.Executor.Release(); // A step cannot be broken off: the load ends when the device lets go.
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => loading.WaitAsync(GrainsFixture.Patience));

        Assert.Contains("did not generate a token", error.Message);
        Assert.Empty(host.Replicas);
    }

    [Fact]
    public async Task EngineFails_LifeEndsWithTheError()
    {
        var failing = false;
        await using var host = Host(new ScriptedModel
        {
            Prepare = (executor, _) => executor.BeforeStep = _ =>
            {
                if (Volatile.Read(ref failing)) throw new StepFailedException("The device is gone.");
            },
        });
        var replica = await host.LoadAsync(Spec("m/0"));
        Volatile.Write(ref failing, true);

        await using (Submit(replica))
        {
            var failure = await replica.Ended.WaitAsync(GrainsFixture.Patience);
            Assert.Equal("The device is gone.", failure?.Message);
        }

        Volatile.Write(ref failing, false);
        Assert.NotSame(replica, await host.LoadAsync(Spec("m/0")));
        Assert.Null(replica.TryEnter());
    }

    [Fact]
    public async Task StepHangs_LifeEndsAndTheDeviceIsNotUsedAgain()
    {
        var time = new ManualTime();
        await using var host = Host(new ScriptedModel { Time = time }, time: time);
        var replica = await host.LoadAsync(Spec("m/0"));
        var life = await HangAsync(replica);
        await time.ArmedFor(TimeSpan.FromSeconds(30)).WaitAsync(GrainsFixture.Patience);

        time.AdvanceTo(TimeSpan.FromSeconds(15));
        Assert.Equal(ReplicaState.Ready, host.StateOf(replica));
        time.AdvanceTo(TimeSpan.FromSeconds(29));
        Assert.Equal(ReplicaState.Stalled, host.StateOf(replica));
        Assert.False(replica.Ended.IsCompleted);
        time.AdvanceTo(TimeSpan.FromSeconds(30));

        var failure = await replica.Ended.WaitAsync(GrainsFixture.Patience);
        Assert.IsType<StepFailedException>(failure);
        Assert.Contains("has run for 30.0 s", failure.Message);
        await host.UnloadAsync("m/0").WaitAsync(GrainsFixture.Patience);
        Assert.Empty(host.Replicas);
        Assert.Equal(["m/0"], host.Hung.Left.Select(left => left.Spec.ReplicaId)); // Its memory counts.
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Spec("m/1")));
        Assert.Contains("'m/0'", error.Message);
        Assert.Contains("hangs", error.Message);
        Assert.Equal(0, _factory.LoadsOf("m/1"));

        life.Executor.Release(); // The device lets go after all: its memory comes back, trust does not.
        await life.Engine.Completion.WaitAsync(GrainsFixture.Patience);
        await When(() => host.Hung.Left.Count == 0);
        Assert.NotNull(host.DeviceFailure);
    }

    [Fact]
    public async Task StepIsLong_OthersWereAsWell_IsNoHang()
    {
        var time = new ManualTime();
        await using var host = Host(new ScriptedModel { Time = time }, time: time);
        var replica = await host.LoadAsync(Spec("m/0"));
        var life = await HangAsync(replica);
        await time.ArmedFor(TimeSpan.FromSeconds(30)).WaitAsync(GrainsFixture.Patience);
        time.AdvanceTo(TimeSpan.FromSeconds(10)); // The longest step: 20 of it are allowed from now on.
        life.Executor.Allow(1);
        await life.Executor.StepReached(3).WaitAsync(GrainsFixture.Patience);

        time.AdvanceTo(TimeSpan.FromSeconds(30));
        await time.ArmedFor(TimeSpan.FromSeconds(210)).WaitAsync(GrainsFixture.Patience); // It has looked, and looks again when the step is 200 s old.

        Assert.Equal(ReplicaState.Ready, host.StateOf(replica));
        Assert.False(replica.Ended.IsCompleted);
        life.Executor.Release();
    }

    [Fact]
    public async Task UnloadAsync_EngineHangs_IsWaitedForOnlySoLong()
    {
        var time = new ManualTime();
        await using var host = Host(new ScriptedModel { Time = time }, time: time);
        var replica = await host.LoadAsync(Spec("m/0"));
        var life = await HangAsync(replica);
        await time.ArmedFor(TimeSpan.FromSeconds(30)).WaitAsync(GrainsFixture.Patience);
        time.AdvanceTo(TimeSpan.FromSeconds(1));

        var unloading = host.UnloadAsync("m/0"); // Nobody reads it: it need not drain.
        await time.ArmedFor(TimeSpan.FromSeconds(31)).WaitAsync(GrainsFixture.Patience);
        Assert.False(unloading.IsCompleted);
        time.AdvanceTo(TimeSpan.FromSeconds(31));

        await unloading.WaitAsync(GrainsFixture.Patience);
        Assert.NotNull(host.DeviceFailure);
        life.Executor.Release();
    }

    [Fact]
    public async Task StopAsync_InAHurryAndTheEngineHangs_IsWaitedForFiveSeconds()
    {
        var time = new ManualTime();
        await using var host = Host(new ScriptedModel { Time = time }, time: time);
        var replica = await host.LoadAsync(Spec("m/0"));
        var life = await HangAsync(replica);

        var stopping = host.StopAsync(new CancellationToken(canceled: true));
        await time.ArmedFor(TimeSpan.FromSeconds(5)).WaitAsync(GrainsFixture.Patience);
        Assert.False(stopping.IsCompleted);
        time.AdvanceTo(TimeSpan.FromSeconds(5));

        await stopping.WaitAsync(GrainsFixture.Patience);
        life.Executor.Release();
    }

    [Fact]
    public async Task BeginDraining_TakesNothingNewAndLetsRunWhatRuns()
    {
        using var gate = new ManualResetEventSlim();
        await using var host = Host(new ScriptedModel
        {
            BeforeLoad = (spec, _) =>
            {
                if (spec.ReplicaId == "m/1") gate.Wait(GrainsFixture.Patience);
            },
        });
        var replica = await host.LoadAsync(Spec("m/0"));
        var loading = host.LoadAsync(Spec("m/1"));
        using var stay = replica.TryEnter();

        host.BeginDraining();

        Assert.True(host.IsDraining);
        Assert.Equal(ReplicaState.Draining, host.StateOf(replica));
        Assert.Null(replica.TryEnter());
        await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Spec("m/2")));
        Assert.False(replica.Ended.IsCompleted);
        gate.Set();
        await WhenRefusing(await loading); // It came too late.
        Assert.False(replica.Ended.IsCompleted);
    }

    [Fact]
    public async Task UnloadAsync_SequenceRuns_WaitsForItAndTakesNothingNew()
    {
        await using var host = Host(new ScriptedModel());
        var replica = await host.LoadAsync(Spec("m/0"));
        var stay = replica.TryEnter();
        Assert.NotNull(stay);

        var unloading = host.UnloadAsync("m/0");
        await WhenRefusing(replica);
        Assert.False(unloading.IsCompleted);
        Assert.False(replica.Ended.IsCompleted);
        stay.Dispose();
        await unloading.WaitAsync(GrainsFixture.Patience);

        Assert.Null(await replica.Ended);
        Assert.Null(host.Find("m/0"));
        Assert.True((await _factory.Life("m/0")).Executor.IsDisposed);
    }

    [Fact]
    public async Task StopAsync_SequenceOutlastsItsTime_EndsItAndRefusesWhatIsNew()
    {
        await using var host = Host(new ScriptedModel { Engine = new EngineOptions { MaxBufferedTokens = 2 } }, options => options.DrainTimeout = TimeSpan.FromMilliseconds(50));
        var replica = await host.LoadAsync(Spec("m/0"));
        using var stay = replica.TryEnter();
        await using var sequence = Submit(replica); // Nobody reads it: it pauses and would stay.

        await host.StopAsync(CancellationToken.None).WaitAsync(GrainsFixture.Patience);

        await Assert.ThrowsAsync<StepFailedException>(async () =>
        {
            do
            {
                while (sequence.TryRead(out _))
                {
                }
            }
            while (await sequence.WaitToReadAsync());
        });
        Assert.Empty(host.Replicas);
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => host.LoadAsync(Spec("m/0")));
        Assert.Contains("stopping", error.Message);
    }

    [Fact]
    public async Task StopAsync_InAHurry_DoesNotWaitForSequences()
    {
        await using var host = Host(new ScriptedModel(), options => options.DrainTimeout = TimeSpan.FromMinutes(10));
        var replica = await host.LoadAsync(Spec("m/0"));
        using var stay = replica.TryEnter();

        await host.StopAsync(new CancellationToken(canceled: true)).WaitAsync(GrainsFixture.Patience);

        Assert.True(replica.Ended.IsCompleted);
    }

    private static ISequenceHandle Submit(HostedReplica replica) =>
        replica.Engine.TrySubmit(
            new EngineRequest { RequestId = "r", PromptTokenIds = [1], Sampling = new SamplingParameters { MaxTokens = 900 } }, out var refusal)
        ?? throw new InvalidOperationException(refusal?.Message);

    /// <summary>Has the replica's engine begin a step that does not end.</summary>
    private async Task<ScriptedLife> HangAsync(HostedReplica replica)
    {
        var life = await _factory.Life(replica.ReplicaId);
        life.Executor.Hold();
        Submit(replica);
        await life.Executor.StepReached(2).WaitAsync(GrainsFixture.Patience); // The first was the probe's.
        return life;
    }

    /// <summary>Waits until the replica takes nothing new.</summary>
    private static Task WhenRefusing(HostedReplica replica) => When(() =>
    {
        using var stay = replica.TryEnter();
        return stay is null;
    });

    /// <summary>Waits for what raises no event; each look is a turn for the host.</summary>
    private static async Task When(Func<bool> holds)
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        while (!holds())
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private static ReplicaSpec Spec(string replicaId) => new(replicaId, "m", 1, 0);

    private EngineHost Host(ScriptedModel model, Action<EngineHostOptions>? configure = null, TimeProvider? time = null)
    {
        _factory.Add("m", model);
        var options = new EngineHostOptions();
        configure?.Invoke(options);
        time ??= TimeProvider.System;
        // Whole models only: nobody is led.
        var leader = new ReplicaLeader(new NoShardFactory(), null!, Options.Create(new ShardHostOptions()), time, NullLogger<ReplicaLeader>.Instance);
        return new EngineHost(_factory, leader, Options.Create(options), time, NullLogger<EngineHost>.Instance);
    }
}

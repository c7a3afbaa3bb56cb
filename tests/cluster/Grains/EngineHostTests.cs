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

    /// <summary>Waits until the replica takes nothing new; each look is a turn for the host.</summary>
    private static async Task WhenRefusing(HostedReplica replica)
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        while (replica.TryEnter() is { } stay)
        {
            stay.Dispose();
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

using Granary.Engine.Execution;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Deployments: what is wanted comes, stays, comes again after a failure, and goes.</summary>
public sealed class ModelTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    [Fact]
    public async Task DeployAsync_Twice_ChangesNothing()
    {
        var name = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);
        var before = await fixture.Model(name).GetStatusAsync();

        var after = await fixture.Model(name).DeployAsync(fixture.Spec(2));

        Assert.Equal(2, after.WantedReplicas);
        Assert.Equal(before.Replicas, after.Replicas);
        Assert.Equal((1, 1), (fixture.Engines.LoadsOf($"{name}/0"), fixture.Engines.LoadsOf($"{name}/1")));
    }

    [Fact]
    public async Task DeployAsync_MoreAndFewer_LoadsAndUnloads()
    {
        var name = await fixture.DeployAsync(new ScriptedModel());
        var first = await fixture.EpochAsync(name);

        await fixture.Model(name).DeployAsync(fixture.Spec(3));
        await GrainsFixture.UntilAsync(() => fixture.Router(name).GetSnapshotAsync(), snapshot => snapshot.Replicas.Length == 3);
        var status = await fixture.Model(name).DeployAsync(fixture.Spec(1));

        Assert.Equal([new(fixture.ReplicaId(name), first)], status.Replicas.Select(replica => replica.Replica));
        var snapshot = await GrainsFixture.UntilAsync(() => fixture.Router(name).GetSnapshotAsync(), snapshot => snapshot.Replicas.Length < 3);
        Assert.Equal([new(fixture.ReplicaId(name), first)], snapshot.Replicas.Select(replica => replica.Replica));
        Assert.True((await fixture.Engines.Life($"{name}/1")).Executor.IsDisposed);
        Assert.True((await fixture.Engines.Life($"{name}/2")).Executor.IsDisposed);
        Assert.False((await fixture.Engines.Life($"{name}/0")).Executor.IsDisposed);
    }

    [Fact]
    public async Task DeployAsync_OtherThreads_LoadsAgainWithAHigherEpoch()
    {
        var name = await fixture.DeployAsync(new ScriptedModel());
        var before = await fixture.EpochAsync(name);

        await fixture.Model(name).DeployAsync(fixture.Spec(1, threads: 2));

        Assert.True(await fixture.EpochAsync(name) > before);
        Assert.True((await fixture.Engines.Life($"{name}/0")).Executor.IsDisposed);
        Assert.Single(await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(name, [1], maxTokens: 1))));
    }

    [Fact]
    public async Task DeployAsync_NoneWanted_LeavesNothing()
    {
        var name = await fixture.DeployAsync(new ScriptedModel());

        var status = await fixture.Model(name).DeployAsync(fixture.Spec(0));

        Assert.Empty(status.Replicas);
        Assert.True((await fixture.Engines.Life($"{name}/0")).Executor.IsDisposed);
        await Assert.ThrowsAsync<ModelNotReadyException>(
            () => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(name, [1]))));
    }

    [Fact]
    public async Task DeployAsync_CopiesMayTakeMoreThanThereIs_IsRefusedAndUnloaded()
    {
        var name = $"large-{Guid.NewGuid():N}";
        fixture.Engines.Add(name, new ScriptedModel { HostBytes = 1L << 50 });

        var error = await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Model(name).DeployAsync(fixture.Spec(1)));

        Assert.Contains("Granary:Kv:HostCacheBytes", error.Message);
        var life = await fixture.Engines.Life($"{name}/0");
        await life.Engine.Completion.WaitAsync(GrainsFixture.Patience);
        await fixture.Model(name).DeployAsync(fixture.Spec(0)); // It is tried no more.
    }

    [Fact]
    public async Task DeployAsync_ScaleDown_LetsRunningSequencesEnd()
    {
        var name = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);
        var life = await fixture.Engines.Life($"{name}/1");
        var next = (await fixture.Replica(name, 1).GetLoadAsync()).Steps + 1;
        life.Executor.Hold();
        var request = GrainsFixture.Request(name, [1, 2], maxTokens: 40);
        var epoch = await fixture.EpochAsync(name, 1);
        var stream = GrainsFixture.ReadAsync(fixture.GenerateAsync(name, 1, request, epoch));
        await life.Executor.StepReached(next).WaitAsync(GrainsFixture.Patience);

        var deploying = fixture.Model(name).DeployAsync(fixture.Spec(1));
        life.Executor.Release();

        Assert.Equal(await GrainsFixture.RunAloneAsync(request), (await stream).Select(chunk => chunk.TokenId));
        await deploying;
        Assert.True(life.Executor.IsDisposed);
    }

    [Theory]
    [InlineData(-1, 1, "replicas")]
    [InlineData(1, 0, "intra_op_threads_per_replica")]
    public async Task DeployAsync_ValueOutOfBounds_NamesIt(int replicas, int threads, string parameter)
    {
        var error = await Assert.ThrowsAsync<RequestRefusedException>(
            () => fixture.Model("refused").DeployAsync(fixture.Spec(replicas, threads)));

        Assert.Equal(parameter, error.Parameter);
        Assert.Equal(0, (await fixture.Model("refused").GetStatusAsync()).WantedReplicas);
    }

    [Fact]
    public async Task DeployAsync_NoSuchModel_SaysSo()
    {
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Model("absent").DeployAsync(fixture.Spec(1)));
        Assert.Contains("'absent'", error.Message);
        await fixture.Model("absent").DeployAsync(fixture.Spec(0));
    }

    [Fact]
    public async Task DeployAsync_FirstStepFails_IsNotReadyAndLeavesNothing()
    {
        var name = $"broken-{Guid.NewGuid():N}";
        fixture.Engines.Add(name, new ScriptedModel
        {
            Prepare = (executor, _) => executor.BeforeStep = _ => throw new StepFailedException("The device is on fire."),
        });

        var error = await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Model(name).DeployAsync(fixture.Spec(1)));
        await fixture.Model(name).DeployAsync(fixture.Spec(0));

        Assert.Contains("on fire", error.Message);
        Assert.True((await fixture.Engines.Life($"{name}/0")).Executor.IsDisposed);
    }

    [Fact]
    public async Task DeployAsync_MoreCoresThanTheWorkerHas_SaysWhatThereIs()
    {
        var name = $"wide-{Guid.NewGuid():N}";
        fixture.Engines.Add(name, new ScriptedModel());

        var error = await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Model(name).DeployAsync(fixture.Spec(1, threads: 65)));
        await fixture.Model(name).DeployAsync(fixture.Spec(0));

        Assert.Contains("65 cores", error.Message);
        Assert.Contains("has 64", error.Message);
        Assert.Equal(0, fixture.Engines.LoadsOf($"{name}/0"));
    }

    [Fact]
    public async Task EngineFails_TheModelLivesAgainAndTheStreamGoesOn()
    {
        var failing = false;
        var name = await fixture.DeployAsync(new ScriptedModel
        {
            Prepare = (executor, number) => executor.BeforeStep = plan =>
            {
                if (number == 1 && Volatile.Read(ref failing) && plan.PastLengths[0] > 5) throw new StepFailedException("The device is gone.");
            },
        });
        var request = GrainsFixture.Request(name, [1, 2, 3]);
        var epoch = await fixture.EpochAsync(name);
        var again = fixture.Engines.Life($"{name}/0", number: 2);
        Volatile.Write(ref failing, true);

        var delivered = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request)).WaitAsync(GrainsFixture.Patience);
        await again.WaitAsync(GrainsFixture.Patience); // Nobody asked for it.

        var expected = await GrainsFixture.RunAloneAsync(request);
        Assert.Equal(expected, delivered.Select(chunk => chunk.TokenId));
        Assert.True(await fixture.EpochAsync(name) > epoch);
        Assert.Equal(2, fixture.Engines.LoadsOf($"{name}/0"));
        Assert.True((await fixture.Engines.Life($"{name}/0")).Executor.IsDisposed);
        Assert.Equal(expected, (await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request))).Select(chunk => chunk.TokenId));
        Assert.Equal(0, await fixture.BookingsAsync(name));
    }

    [Fact]
    public async Task LoadFails_IsTriedAgainUntilItSucceeds()
    {
        var name = $"slow-start-{Guid.NewGuid():N}";
        fixture.Engines.Add(name, new ScriptedModel
        {
            BeforeLoad = (_, number) =>
            {
                if (number < 4) throw new ModelLoadException($"Attempt {number} fails.");
            },
        });
        var loaded = fixture.Engines.Life($"{name}/0", number: 4);

        await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Model(name).DeployAsync(fixture.Spec(1)));
        await loaded.WaitAsync(GrainsFixture.Patience);
        var status = await fixture.Model(name).DeployAsync(fixture.Spec(1));

        Assert.Single(status.Replicas);
        Assert.Equal(4, fixture.Engines.LoadsOf($"{name}/0"));
    }

    [Fact]
    public async Task Worker_TellsWhatItHasAndHolds()
    {
        var name = await fixture.DeployAsync(new ScriptedModel());

        var status = await fixture.Grains.GetGrain<IWorkerGrain>(fixture.Worker).GetStatusAsync();

        Assert.Equal(("cpu", 64), (status.Device, status.Cores));
        Assert.True(status.MemoryBytes > 0);
        var replica = Assert.Single(status.Replicas, replica => replica.Replica.ReplicaId == fixture.ReplicaId(name));
        Assert.Equal((1024, 256 * 16), (replica.ContextLength, replica.KvCapacityTokens));
    }

    [Fact]
    public async Task Worker_OfAnotherSilo_IsNotPlacedHere()
    {
        var error = await Assert.ThrowsAsync<SiloUnavailableException>(() => fixture.Grains.GetGrain<IWorkerGrain>("elsewhere/cpu").GetStatusAsync());

        Assert.Contains("'elsewhere'", error.Message);
        Assert.Contains(GrainKeys.SiloOf(fixture.Worker).ToString(), error.Message);
    }

    [Fact]
    public async Task Worker_OfAnotherDevice_RefusesToWorkHere()
    {
        var other = $"{GrainKeys.SiloOf(fixture.Worker)}/cuda:0";
        var error = await Assert.ThrowsAsync<ModelLoadException>(() => fixture.Grains.GetGrain<IWorkerGrain>(other).GetStatusAsync());

        Assert.Contains($"'{other}'", error.Message);
        Assert.Contains($"'{fixture.Worker}'", error.Message);
    }
}

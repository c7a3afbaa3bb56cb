using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>A device that does not come back from a step, as callers of its replica see it.</summary>
public sealed class HangTests : IAsyncLifetime
{
    private readonly ManualTime _time = new();
    private readonly ScriptedReplicaFactory _engines = new();
    private InProcessTestCluster _cluster = null!; // Set before each test.

    public async Task InitializeAsync()
    {
        _engines.Add("m", new ScriptedModel { Time = _time });
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.Services.AddSingleton<IReplicaFactory>(_engines);
            silo.Services.AddSingleton<TimeProvider>(_time);
            silo.Services.AddGranaryGrains();
        });
        _cluster = builder.Build();
        await _cluster.DeployAsync();
    }

    public async Task DisposeAsync()
    {
        (await _engines.Life("m/0")).Executor.Release();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task StepHangs_EverybodyWhoWaitsHearsItAndNothingIsLoadedAgain()
    {
        var worker = _cluster.Client.GetGrain<IWorkerGrain>($"{_cluster.Silos[0].Name}/cpu");
        var spec = new ReplicaSpec(GrainKeys.Replica($"{_cluster.Silos[0].Name}/cpu", "m", 0), "m", 1, 0);
        var life = (await worker.LoadAsync(spec)).Replica;
        var replica = _cluster.Client.GetGrain<IReplicaGrain>(spec.ReplicaId);
        var executor = (await _engines.Life("m/0")).Executor;
        var (silent, reader) = (Guid.NewGuid(), Guid.NewGuid());
        await replica.OpenReaderAsync(silent, life.Epoch);
        executor.Hold();
        await replica.SubmitAsync(GrainsFixture.Request("m", [1, 2, 3]), life.Epoch, silent, 1);
        await executor.StepReached(2).WaitAsync(GrainsFixture.Patience);
        var embedding = replica.EmbedAsync(new EmbedRequest { RequestId = "e", Model = "m", TokenIds = [4, 5], Pooling = PoolingMethod.Mean }, life.Epoch);
        await _time.ArmedFor(TimeSpan.FromSeconds(30)).WaitAsync(GrainsFixture.Patience);

        _time.AdvanceTo(TimeSpan.FromSeconds(25)); // Whoever began the step has left meanwhile, and is not freed.
        await replica.OpenReaderAsync(reader, life.Epoch);
        await replica.SubmitAsync(GrainsFixture.Request("m", [1, 2]), life.Epoch, reader, 1);
        _time.AdvanceTo(TimeSpan.FromSeconds(30));

        var message = await replica.TakeAsync(reader, []).WaitAsync(GrainsFixture.Patience);
        var told = Assert.Single(message.Details);
        Assert.Contains("does not end", told.Failure);
        Assert.True(message.IsLast);
        var error = await Assert.ThrowsAsync<ReplicaFailedException>(() => embedding.WaitAsync(GrainsFixture.Patience));
        Assert.Contains("does not end", error.Message);
        await Assert.ThrowsAsync<EpochMismatchException>(() => replica.SubmitAsync(GrainsFixture.Request("m", [1]), life.Epoch, reader, 2));
        await worker.UnloadAsync(spec.ReplicaId).WaitAsync(GrainsFixture.Patience);
        var refused = await Assert.ThrowsAsync<ModelLoadException>(() => worker.LoadAsync(spec));
        Assert.Contains("hangs", refused.Message);
        Assert.Equal(1, _engines.LoadsOf("m/0"));
    }
}

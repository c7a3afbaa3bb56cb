using Granary.Client;
using Granary.Engine;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Tests.Cluster.Sharding;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Silos that stop while others read from their replicas.</summary>
public sealed class DrainTests : IAsyncLifetime
{
    private const string Model = "m";

    private readonly ScriptedReplicaFactory _engines = new();
    private InProcessTestCluster _cluster = null!; // Set before each test.

    public async Task InitializeAsync()
    {
        _engines.Add(Model, new ScriptedModel { Engine = new EngineOptions { MaxRunningSequences = 64, MaxBufferedTokens = 16 } });
        var builder = new InProcessTestClusterBuilder(3);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.Services.AddSingleton<IReplicaFactory>(_engines);
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<WorkerOptions>(options => options.Cores = 64);
        });
        _cluster = builder.Build();
        await _cluster.DeployAsync();
        await Of(0).GetGrain<IModelGrain>(Model).DeployAsync(new DeploymentSpec(3, [.. _cluster.Silos.Select(silo => $"{silo.Name}/cpu")], 1, 0));
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    /// <summary>Takes, credits and messages work until the last reader has its last token, and only then the silo goes.</summary>
    [Fact]
    public async Task StopSilo_UnderLoad_EveryStreamEndsAsIfNothingHadHappened()
    {
        var victim = _cluster.Silos[2];
        var life = await LifeOnAsync(2);
        var executor = (await _engines.Life(GrainKeys.ReplicaName(life.ReplicaId))).Executor;
        // Readers on another silo, on the victim itself, and outside; more tokens than a window and the engine keep, so that credits must come through.
        ReplicaConnections[] readers = [Connections(Of(0)), Connections(Of(2)), Connections(_cluster.Client)];
        var requests = Enumerable.Range(0, 24).Select(i => GrainsFixture.Request(Model, GrainsFixture.Prompt(i, 10 + i), maxTokens: 400, seed: (ulong)i)).ToArray();
        var streams = new List<TokenStream>();
        var ids = requests.Select(_ => new List<int>()).ToArray();
        foreach (var (request, i) in requests.Select((request, i) => (request, i)))
        {
            var stream = await readers[i % 3].SubmitAsync(life, request, CancellationToken.None);
            Assert.Equal(StreamNews.Token, await stream.NextAsync());
            ids[i].Add(stream.Current.TokenId);
            streams.Add(stream);
        }

        executor.Hold(); // All of them run when the silo is told to stop.
        var host = victim.ServiceProvider.GetRequiredService<EngineHost>();
        var stopping = _cluster.StopSiloAsync(victim);
        await ReadLoadUntilDrainingAsync(life);
        await Assert.ThrowsAsync<ReplicaSaturatedException>(async () => await readers[0].SubmitAsync(life, GrainsFixture.Request(Model, [1]), CancellationToken.None));
        Assert.True(host.IsDraining);
        Assert.False(stopping.IsCompleted);
        foreach (var (stream, i) in streams.Select((stream, i) => (stream, i)))
        {
            StreamNews news;
            while ((news = await stream.NextAsync().AsTask().WaitAsync(GrainsFixture.Patience)) == StreamNews.Token) ids[i].Add(stream.Current.TokenId);
            Assert.True(news == StreamNews.Draining, $"{i}: {news}, {ids[i].Count} tokens, {stream.Loss}"); // Each hears of it, though there is no step.
        }

        executor.Release();

        await Task.WhenAll(streams.Select(async (stream, i) =>
        {
            while (await stream.NextAsync() is not StreamNews.Ended and var news)
            {
                if (news == StreamNews.Token) ids[i].Add(stream.Current.TokenId);
            }

            Assert.Null(stream.Loss);
        })).WaitAsync(GrainsFixture.Patience);
        await stopping.WaitAsync(GrainsFixture.Patience);

        foreach (var (request, generated) in requests.Zip(ids)) Assert.Equal(await GrainsFixture.RunAloneAsync(request), generated);
    }

    [Fact]
    public async Task WatchAsync_SiloBeginsToStop_IsToldAtOnceAndThenTheLifeIsGone()
    {
        var life = await LifeOnAsync(2);
        var replica = Of(0).GetGrain<IReplicaGrain>(life.ReplicaId);
        var host = _cluster.Silos[2].ServiceProvider.GetRequiredService<EngineHost>();
        using var stay = host.Find(life.ReplicaId)!.TryEnter();
        var known = (await replica.WatchAsync(life.Epoch, 0)).Kv.Next;
        var watch = replica.WatchAsync(life.Epoch, known);

        host.BeginDraining();

        Assert.True((await watch.WaitAsync(GrainsFixture.Patience)).Load.IsDraining);
        watch = replica.WatchAsync(life.Epoch, known);
        stay!.Dispose();
        var unloading = host.UnloadAsync(life.ReplicaId);
        var error = await Assert.ThrowsAsync<EpochMismatchException>(async () =>
        {
            while (true) await (watch.IsCompleted ? replica.WatchAsync(life.Epoch, known) : watch).WaitAsync(GrainsFixture.Patience);
        });
        Assert.Equal((life.Epoch, 0), (error.Asked, error.Actual));
        await unloading.WaitAsync(GrainsFixture.Patience);
    }

    /// <summary>A silo that has only shards of a replica has it drained as soon as it begins to stop itself; its life goes on.</summary>
    [Fact]
    public async Task ShardsSilo_BeginsToStop_TheLeaderDrains()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        var life = (await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(2, 1, 1, "Silo_1/cpu", "Silo_2/cpu"))).Replicas[0].Replica;
        var (leader, other) = life.ReplicaId.StartsWith("Silo_1/", StringComparison.Ordinal) ? ("Silo_1", "Silo_2") : ("Silo_2", "Silo_1");
        var replica = cluster.Silo(leader).ServiceProvider.GetRequiredService<EngineHost>().Find(life.ReplicaId)!;
        var draining = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        replica.Changed += () => draining.TrySetResult();

        foreach (var service in cluster.Silo(other).ServiceProvider.GetServices<IHostedService>().OfType<IHostedLifecycleService>())
            await service.StoppingAsync(CancellationToken.None);

        await draining.Task.WaitAsync(GrainsFixture.Patience);
        Assert.True((await cluster.Grains.GetGrain<IReplicaGrain>(life.ReplicaId).GetLoadAsync()).IsDraining);
        Assert.False(replica.Ended.IsCompleted);
    }

    /// <summary>A reader's name is good for one life of one replica; with another it is as unknown as one that was forgotten.</summary>
    [Fact]
    public async Task SubmitAsync_ReaderOfAnotherLife_IsUnknown()
    {
        var (here, there) = (await LifeOnAsync(1), await LifeOnAsync(2));
        var reader = Guid.NewGuid();
        var replica = Of(0).GetGrain<IReplicaGrain>(here.ReplicaId);
        await replica.OpenReaderAsync(reader, here.Epoch);
        var worker = Of(0).GetGrain<IWorkerGrain>(GrainKeys.WorkerOf(here.ReplicaId));
        var spec = _cluster.Silos[1].ServiceProvider.GetRequiredService<EngineHost>().Find(here.ReplicaId)!.Spec;
        await worker.UnloadAsync(here.ReplicaId);
        var next = (await worker.LoadAsync(spec)).Replica;

        await Assert.ThrowsAsync<UnknownReaderException>(() => replica.SubmitAsync(GrainsFixture.Request(Model, [1]), next.Epoch, reader, 1));
        await Assert.ThrowsAsync<UnknownReaderException>(() => replica.OpenReaderAsync(reader, next.Epoch));
        await Assert.ThrowsAsync<UnknownReaderException>(() => Of(0).GetGrain<IReplicaGrain>(there.ReplicaId).TakeAsync(reader, []));
        var last = await replica.TakeAsync(reader, []);

        Assert.Equal((here.Epoch, true), (last.Epoch, last.IsLast)); // What it had opened was ended, with nothing in it.
        Assert.Empty(last.Slots);
        await replica.OpenReaderAsync(reader, next.Epoch);
    }

    private async Task ReadLoadUntilDrainingAsync(ReplicaLife life)
    {
        var replica = Of(0).GetGrain<IReplicaGrain>(life.ReplicaId);
        var next = 0L;
        while (!(await replica.GetLoadAsync()).IsDraining) next = (await replica.WatchAsync(life.Epoch, next).WaitAsync(GrainsFixture.Patience)).Kv.Next;
    }

    /// <summary>For them no time passes: a replica that a test holds is not lost.</summary>
    private static ReplicaConnections Connections(IGrainFactory grains) => new(grains, new ManualTime());

    private IGrainFactory Of(int silo) => _cluster.Silos[silo].ServiceProvider.GetRequiredService<IGrainFactory>();

    private async Task<ReplicaLife> LifeOnAsync(int silo) =>
        (await Of(0).GetGrain<IModelGrain>(Model).GetStatusAsync()).Replicas.Select(replica => replica.Replica)
        .Single(life => GrainKeys.SiloOf(life.ReplicaId).SequenceEqual(_cluster.Silos[silo].Name));
}

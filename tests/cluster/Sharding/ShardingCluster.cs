using Granary.Client;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Runtime;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>Several silos with a worker each, over scripted shards. Silo_0 asks for everything, as a gateway would; so it has the control plane.</summary>
internal sealed class ShardingCluster : IAsyncDisposable
{
    public const string Model = "m";

    private readonly InProcessTestCluster _cluster;

    private ShardingCluster(InProcessTestCluster cluster, ScriptedShards shards, ScriptedReplicaFactory engines) =>
        (_cluster, Shards, Engines) = (cluster, shards, engines);

    public ScriptedShards Shards { get; }

    public ScriptedReplicaFactory Engines { get; }

    /// <summary>As the services of Silo_0 see the cluster.</summary>
    public IGrainFactory Grains => Of("Silo_0");

    public IModelGrain ModelGrain => Grains.GetGrain<IModelGrain>(Model);

    public IInventoryGrain Inventory => Grains.GetGrain<IInventoryGrain>(0);

    public IGenerationClient Client => new GrainGenerationClient(Grains, TimeProvider.System, NullLogger<GrainGenerationClient>.Instance);

    /// <param name="configure">What else a silo, by its name, is told.</param>
    public static async Task<ShardingCluster> StartAsync(
        short silos, int cores, TimeSpan? reportPeriod = null, TimeSpan? watchPeriod = null, Action<string, IServiceCollection>? configure = null)
    {
        var (shards, engines) = (new ScriptedShards(), new ScriptedReplicaFactory());
        engines.Add(Model, new ScriptedModel());
        var builder = new InProcessTestClusterBuilder(silos);
        builder.ConfigureSilo((options, silo) =>
        {
            silo.Services.AddSingleton<IReplicaFactory>(engines);
            silo.Services.AddSingleton(shards.Factory(options.SiloName));
            silo.Services.AddSingleton<IModelFiles>(shards);
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<WorkerOptions>(worker => (worker.Cores, worker.MemoryBytes) = (cores, 1L << 40)); // Cores decide.
            silo.Services.Configure<ModelGrainOptions>(model => (model.RetryPause, model.MaxRetryPause) = (TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(200)));
            if (watchPeriod is { } watch) silo.Services.Configure<ModelGrainOptions>(model => model.WatchPeriod = watch);
            silo.Services.Configure<InventoryOptions>(inventory => (inventory.ReportPeriod, inventory.Zone) = (reportPeriod ?? TimeSpan.FromMilliseconds(200), "here"));
            silo.Services.Configure<ShardHostOptions>(host => host.StatusPeriod = TimeSpan.FromMilliseconds(20));
            silo.Services.Configure<EngineHostOptions>(host => host.DrainTimeout = TimeSpan.FromSeconds(1));
            configure?.Invoke(options.SiloName, silo.Services);
        });
        var cluster = builder.Build();
        await cluster.DeployAsync();
        return new(cluster, shards, engines);
    }

    public async ValueTask DisposeAsync() => await _cluster.DisposeAsync();

    public static DeploymentSpec Spec(int stages, int ranks = 1, int replicas = 1, params string[] workers) => new(replicas, workers, 1, 64, stages, ranks);

    public IGrainFactory Of(string silo) => Silo(silo).ServiceProvider.GetRequiredService<IGrainFactory>();

    public InProcessSiloHandle Silo(string name) => _cluster.Silos.Single(silo => silo.Name == name);

    /// <summary>The silo dies as a machine does: the membership evicts it, and its links break.</summary>
    public async Task KillAsync(string silo)
    {
        var survivor = _cluster.Silos.First(other => other.IsActive && other.Name != silo);
        Assert.True(await survivor.ServiceProvider.GetRequiredService<IClusterMembershipService>().TryKill(Silo(silo).SiloAddress));
        Shards.Crash(silo);
    }

    public Task StopAsync(string silo) => _cluster.StopSiloAsync(Silo(silo));

    public Task<InProcessSiloHandle> StartSiloAsync() => _cluster.StartAdditionalSiloAsync();

    /// <summary>Asks again until the answer is as it should be; each question is a turn for everybody. A question on its way to a silo that dies is asked again.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> holds)
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        while (true)
        {
            string last;
            try
            {
                var answer = await ask();
                if (holds(answer)) return answer;
                last = System.Text.Json.JsonSerializer.Serialize(answer);
            }
            catch (SiloUnavailableException exception)
            {
                last = exception.Message;
            }

            if (patience.IsCancellationRequested) throw new TimeoutException($"It never came; last was {last}.");
            await Task.Yield();
        }
    }
}

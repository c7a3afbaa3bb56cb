using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Routing;
using Granary.GrainInterfaces.Sessions;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;
using Orleans.Storage;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Sessions;

/// <summary>Silos with sessions, over a storage that outlives them.</summary>
internal sealed class SessionCluster : IAsyncDisposable
{
    private readonly InProcessTestCluster _cluster;

    private SessionCluster(InProcessTestCluster cluster) => _cluster = cluster;

    public static ReplicaLife Owner { get; } = new("silo/cpu/model/0", 7);

    public ScriptedStorage.Records Storage { get; } = new();

    public IGrainFactory Grains => _cluster.Client;

    public InProcessTestCluster Orleans => _cluster;

    public static async Task<SessionCluster> StartAsync(Action<SessionGrainOptions>? configure = null, int silos = 1)
    {
        SessionCluster? cluster = null;
        var builder = new InProcessTestClusterBuilder((short)silos);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.Services.AddGrainStorage("Default", (services, _) =>
                new ScriptedStorage(new OrleansGrainStorageSerializer(services.GetRequiredService<Serializer>()), cluster!.Storage));
            silo.Services.AddSingleton<IReplicaFactory>(new ScriptedReplicaFactory());
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<SessionGrainOptions>(options =>
            {
                (options.IsStorageMemory, options.PinLease) = (false, TimeSpan.Zero);
                configure?.Invoke(options);
            });
        });
        cluster = new SessionCluster(builder.Build());
        await cluster._cluster.DeployAsync();
        return cluster;
    }

    public ISessionGrain Session(string id = "talk") => Grains.GetGrain<ISessionGrain>(GrainKeys.Session("tenant", id));

    public static SessionTurn Turn(string id, int tokens = 3, long fence = 0) =>
        new() { Fence = fence, TurnId = id, Model = "model", TokenIds = [.. Enumerable.Range(0, tokens)], Owner = Owner };

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();
}

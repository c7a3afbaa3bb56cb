using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Placement;
using Orleans.Runtime.MembershipService.SiloMetadata;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Runtime;

/// <summary>Two silos and a client, with short timeouts, shared by the tests of one class.</summary>
public sealed class RuntimeCluster : IAsyncLifetime
{
    /// <summary>Long enough for a loaded machine, short enough to be waited for.</summary>
    public static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(4);

    public InProcessTestCluster Cluster { get; private set; } = null!;

    public IGrainFactory Client => Cluster.Client;

    public static InProcessTestCluster Build(short silos, Action<ISiloBuilder>? configure = null)
    {
        var builder = new InProcessTestClusterBuilder(silos);
        builder.ConfigureSilo((options, silo) =>
        {
            silo.AddMemoryGrainStorageAsDefault();
            silo.UseSiloMetadata(new Dictionary<string, string> { ["name"] = options.SiloName });
            silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = ResponseTimeout);
            silo.Services.AddPlacementFilter<OnSiloFilter, OnSiloFilterDirector>(ServiceLifetime.Transient);
            silo.Services.AddSingleton<ScopeCounter>();
            silo.Services.AddScoped<Scoped>();
            configure?.Invoke(silo);
        });
        builder.ConfigureClient(client => client.Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = ResponseTimeout));
        return builder.Build();
    }

    public async Task InitializeAsync()
    {
        Cluster = Build(2);
        await Cluster.DeployAsync();
    }

    public async Task DisposeAsync() => await Cluster.DisposeAsync();
}

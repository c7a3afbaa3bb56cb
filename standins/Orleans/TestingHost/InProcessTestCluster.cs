using System.Collections.ObjectModel;
using System.Net;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Orleans.TestingHost;

/// <summary>Several silos and a client in this process.</summary>
public sealed class InProcessTestCluster : IDisposable, IAsyncDisposable
{
    private const int BaseSiloPort = 11111;
    private const int BaseGatewayPort = 30000;

    private readonly Lock _gate = new();
    private readonly List<InProcessSiloHandle> _silos = [];
    private IHost? _clientHost;
    private int _started;

    internal InProcessTestCluster(InProcessTestClusterOptions options) => Options = options;

    public InProcessTestClusterOptions Options { get; }

    public ReadOnlyCollection<InProcessSiloHandle> Silos
    {
        get
        {
            lock (_gate)
            {
                return _silos.ToList().AsReadOnly();
            }
        }
    }

    /// <summary>The client outside of the silos.</summary>
    public IClusterClient Client => _clientHost?.Services.GetRequiredService<IClusterClient>()
        ?? throw new InvalidOperationException("The client is not initialized: call DeployAsync first.");

    public IServiceProvider GetSiloServiceProvider(SiloAddress? silo = null)
    {
        var handle = silo is null ? Silos.FirstOrDefault() : Silos.FirstOrDefault(candidate => candidate.SiloAddress.Equals(silo));
        return handle?.SiloHost.Services ?? throw new ArgumentException($"Could not find a silo with address {silo}.");
    }

    public async Task DeployAsync()
    {
        if (Silos.Count > 0) throw new InvalidOperationException("Cluster host already deployed.");
        await StartSilosAsync(Options.InitialSilosCount).ConfigureAwait(false);
        if (Options.InitializeClientOnDeploy) await InitializeClientAsync().ConfigureAwait(false);
    }

    public IEnumerable<InProcessSiloHandle> GetActiveSilos() => Silos.Where(silo => silo.IsActive);

    public InProcessSiloHandle? GetSiloForAddress(SiloAddress siloAddress) => GetActiveSilos().FirstOrDefault(silo => silo.SiloAddress.Equals(siloAddress));

    /// <summary>Membership is shared memory: it is stable at once.</summary>
    public Task WaitForLivenessToStabilizeAsync(bool didKill = false) => Task.CompletedTask;

    public InProcessSiloHandle StartAdditionalSilo() => StartAdditionalSiloAsync().GetAwaiter().GetResult();

    public async Task<InProcessSiloHandle> StartAdditionalSiloAsync() => (await StartSilosAsync(1).ConfigureAwait(false))[0];

    public async Task<List<InProcessSiloHandle>> StartSilosAsync(int silosToStart)
    {
        var handles = new List<InProcessSiloHandle>();
        for (var i = 0; i < silosToStart; i++) handles.Add(await StartSiloAsync(Interlocked.Increment(ref _started) - 1, Options).ConfigureAwait(false));
        lock (_gate)
        {
            _silos.AddRange(handles);
        }

        return handles;
    }

    public async Task<InProcessSiloHandle> StartSiloAsync(int instanceNumber, InProcessTestClusterOptions clusterOptions)
    {
        var options = new InProcessTestSiloSpecificOptions
        {
            SiloName = $"Silo_{instanceNumber}",
            SiloPort = BaseSiloPort + instanceNumber,
            GatewayPort = instanceNumber == 0 || clusterOptions.GatewayPerSilo ? BaseGatewayPort + instanceNumber : 0,
        };
        var handle = await CreateSiloAsync(options).ConfigureAwait(false);
        handle.InstanceNumber = (short)instanceNumber;
        return handle;
    }

    public async Task<InProcessSiloHandle> CreateSiloAsync(InProcessTestSiloSpecificOptions siloOptions)
    {
        var builder = CreateHost($"TestCluster Silo {siloOptions.SiloName}");
        builder.UseOrleans(silo => silo
            .Configure<ClusterOptions>(SetCluster)
            .Configure<SiloOptions>(options => options.SiloName = siloOptions.SiloName)
            .Configure<EndpointOptions>(options =>
            {
                options.AdvertisedIPAddress = IPAddress.Loopback;
                options.SiloPort = siloOptions.SiloPort;
                options.GatewayPort = siloOptions.GatewayPort;
            }));
        foreach (var configure in Options.SiloHostConfigurationDelegates) configure(siloOptions, builder);
        var host = builder.Build();
        await host.StartAsync().ConfigureAwait(false);
        var details = host.Services.GetRequiredService<ILocalSiloDetails>();
        return new InProcessSiloHandle { Name = siloOptions.SiloName, SiloHost = host, SiloAddress = details.SiloAddress, GatewayAddress = details.GatewayAddress };
    }

    public async Task InitializeClientAsync()
    {
        if (_clientHost is not null) await StopClusterClientAsync().ConfigureAwait(false);
        var builder = CreateHost("TestClusterClient");
        builder.UseOrleansClient(client => client.Configure<ClusterOptions>(SetCluster));
        foreach (var configure in Options.ClientHostConfigurationDelegates) configure(builder);
        _clientHost = builder.Build();
        await _clientHost.StartAsync().ConfigureAwait(false);
    }

    public async Task StopClusterClientAsync()
    {
        if (Interlocked.Exchange(ref _clientHost, null) is not { } host) return;
        await host.StopAsync().ConfigureAwait(false);
        host.Dispose();
    }

    public Task KillClientAsync() => StopClusterClientAsync();

    public async Task StopSiloAsync(InProcessSiloHandle instance)
    {
        ArgumentNullException.ThrowIfNull(instance);
        await instance.StopSiloAsync(stopGracefully: true).ConfigureAwait(false);
        Remove(instance);
    }

    public async Task KillSiloAsync(InProcessSiloHandle instance)
    {
        ArgumentNullException.ThrowIfNull(instance);
        await instance.StopSiloAsync(stopGracefully: false).ConfigureAwait(false);
        Remove(instance);
    }

    public async Task<InProcessSiloHandle?> RestartSiloAsync(InProcessSiloHandle instance)
    {
        await StopSiloAsync(instance).ConfigureAwait(false);
        var handle = await StartSiloAsync(instance.InstanceNumber, Options).ConfigureAwait(false);
        lock (_gate)
        {
            _silos.Add(handle);
        }

        return handle;
    }

    public async Task StopSilosAsync()
    {
        foreach (var silo in Silos.Reverse()) await StopSiloAsync(silo).ConfigureAwait(false);
    }

    public async Task StopAllSilosAsync()
    {
        await StopClusterClientAsync().ConfigureAwait(false);
        await StopSilosAsync().ConfigureAwait(false);
    }

    public void StopAllSilos() => StopAllSilosAsync().GetAwaiter().GetResult();

    public async ValueTask DisposeAsync()
    {
        await StopClusterClientAsync().ConfigureAwait(false);
        foreach (var silo in Silos.Reverse()) await silo.DisposeAsync().ConfigureAwait(false);
        lock (_gate)
        {
            _silos.Clear();
        }
    }

    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    private void SetCluster(ClusterOptions options)
    {
        options.ClusterId = Options.ClusterId;
        options.ServiceId = Options.ServiceId;
    }

    private static HostApplicationBuilder CreateHost(string name)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ApplicationName = name, EnvironmentName = Environments.Development });
        builder.Services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Warning));
        builder.Configuration.AddInMemoryCollection();
        return builder;
    }

    private void Remove(InProcessSiloHandle instance)
    {
        lock (_gate)
        {
            _silos.Remove(instance);
        }
    }
}

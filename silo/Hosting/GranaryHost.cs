using Granary.Client;
using Granary.Grains;
using Granary.Silo.Metrics;
using Granary.Silo.Serving;
using Granary.Silo.Storage;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>What every way of starting shares: settings, the Orleans silo, grains, engines, models, client and metrics.</summary>
internal static class GranaryHost
{
    /// <param name="builder">A builder without defaults: everything that is read or logged is named here.</param>
    /// <param name="settings">Values of the command line, by configuration key; they win over files and environment.</param>
    /// <param name="quietest">What is logged where the configuration says nothing.</param>
    /// <param name="place">Which silo of the process it is; null for the first, which starts the others.</param>
    public static void Configure(IHostApplicationBuilder builder, IReadOnlyDictionary<string, string?> settings, LogLevel quietest, SiloPlace? place = null)
    {
        builder.Configuration
            .AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true, reloadOnChange: false)
            .AddEnvironmentVariables()
            .AddInMemoryCollection(settings);
        ConfigureLogging(builder, quietest);

        var section = builder.Configuration.GetSection(GranaryOptions.Section);
        builder.Services.AddSingleton<IValidateOptions<GranaryOptions>, GranaryOptionsValidator>();
        builder.Services.AddOptions<GranaryOptions>().Bind(section).ValidateOnStart();
        var options = Read(builder.Configuration);

        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(options.ShutdownSeconds));

        var silo = place ?? new SiloPlace(new SiloGroup(options), 0);
        builder.UseOrleans(orleans => OrleansSilo.Configure(orleans, options, silo));
        if (!silo.IsFirst)
        {
            builder.Services.AddSingleton(silo);
        }
        else
        {
            // The container that makes something disposes it: the group is made first, and goes last.
            builder.Services.AddSingleton(_ => silo.Group);
            builder.Services.AddSingleton(services => new SiloPlace(services.GetRequiredService<SiloGroup>(), silo.Index));
            builder.Services.AddSingleton(services => new CompanionSilos(services.GetRequiredService<SiloGroup>(), companion => BuildCompanion(settings, quietest, companion)));
            // After Orleans and before what runs on it: they stop in reverse order.
            builder.Services.AddHostedService(services => services.GetRequiredService<CompanionSilos>());
        }

        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddGranaryGrains();
        ConfigureGrains(builder.Services, silo);
        builder.Services.AddOptions<RouterOptions>().Bind(section.GetSection("Router"));
        builder.Services.AddOptions<SurvivalOptions>().Bind(section.GetSection("Survival")).ValidateOnStart();
        builder.Services.AddGranaryGeneration(services => services.GetRequiredService<SiloIdentity>().Name);
        builder.Services.AddSingleton<SiloIdentity>();
        builder.Services.AddSingleton<ImportProgressLog>();
        builder.Services.AddSingleton<ModelCatalog>();
        builder.Services.AddSingleton<IReplicaFactory, OnnxReplicaFactory>();
        builder.Services.AddSingleton<IShardFactory, OnnxShardFactory>();
        builder.Services.AddSingleton<IDeviceFigures, MeasuredDevice>();
        builder.Services.AddSingleton<IModelFiles, CatalogModelFiles>();
        builder.Services.AddGranaryMetrics(builder.Configuration);
        if (!silo.IsFirst) return;
        // After the silo: hosted services start in this order.
        builder.Services.AddSingleton<ModelDeployment>();
        builder.Services.AddHostedService(services => services.GetRequiredService<ModelDeployment>());
    }

    private static IHost BuildCompanion(IReadOnlyDictionary<string, string?> settings, LogLevel quietest, SiloPlace place)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = AppContext.BaseDirectory });
        Configure(builder, settings, quietest, place);
        return builder.Build();
    }

    /// <summary>Settings of the silo as the grains' own options.</summary>
    private static void ConfigureGrains(IServiceCollection services, SiloPlace place)
    {
        services.AddOptions<StoredResponseOptions>().Configure<IOptions<GranaryOptions>>((stored, granary) =>
        {
            stored.Lifetime = TimeSpan.FromSeconds(granary.Value.Responses.LifetimeSeconds);
            stored.MaxConversationBytes = granary.Value.Responses.MaxConversationBytes;
            // A storage that outlives the silo bounds itself.
            stored.MemoryBytes = StorageSetup.RedisOf(granary.Value) is null ? granary.Value.Responses.MemoryBytes : 0;
        });
        services.AddOptions<SessionGrainOptions>().Configure<IOptions<GranaryOptions>>((session, granary) =>
        {
            session.IdleLifetime = TimeSpan.FromSeconds(granary.Value.Sessions.IdleSeconds);
            session.MaxHistoryTokens = granary.Value.Sessions.MaxHistoryTokens;
            session.PinLease = TimeSpan.FromSeconds(granary.Value.Sessions.PinSeconds);
            session.MemoryBytes = granary.Value.Sessions.MemoryBytes;
            session.IsStorageMemory = StorageSetup.RedisOf(granary.Value) is null;
        });
        services.AddOptions<StreamJournalOptions>().Configure<IOptions<GranaryOptions>>((journal, granary) =>
        {
            journal.Retention = TimeSpan.FromSeconds(granary.Value.Streams.RetentionSeconds);
            journal.MaxBytes = granary.Value.Streams.MaxBytes;
            journal.MemoryBytes = granary.Value.Streams.MemoryBytes;
            journal.IsStored = granary.Value.Streams.Stored ?? StorageSetup.RedisOf(granary.Value) is not null;
        });
        services.AddOptions<WorkerOptions>().Configure<IOptions<GranaryOptions>>((worker, granary) =>
        {
            (worker.Device, worker.HasOwnMemory) = (granary.Value.Device.Provider, granary.Value.Device.HasOwnMemory);
            worker.Cores = place.Group.CoresOf(place.Index);
            worker.MemoryBytes = place.Group.MemoryOfEach;
            worker.SilosOfProcess = place.Group.Count;
        });
        services.AddOptions<EngineHostOptions>().Configure<IOptions<GranaryOptions>>((engines, granary) =>
            engines.DrainTimeout = TimeSpan.FromSeconds(granary.Value.ShutdownSeconds) * 2 / 3);
        services.AddOptions<InventoryOptions>().Configure<IOptions<GranaryOptions>>((inventory, granary) =>
        {
            if (!string.IsNullOrWhiteSpace(granary.Value.Cluster.Host)) inventory.Host = granary.Value.Cluster.Host;
            inventory.Zone = granary.Value.Cluster.Zone ?? "";
        });
        services.AddOptions<PartitionOptions>().Configure<IOptions<GranaryOptions>>((partition, granary) =>
        {
            partition.KvBlockTokens = EngineSettings.KvBlockTokens(granary.Value);
            partition.MaxTokensPerStep = granary.Value.MaxTokensPerStep;
            partition.MaxLogitRows = EngineSettings.MaxLogitRows(granary.Value);
            partition.MaxSequences = granary.Value.MaxRunningSequences;
        });
    }

    /// <summary>The settings as they stand, for what is decided before services exist.</summary>
    public static GranaryOptions Read(IConfiguration configuration)
    {
        var options = new GranaryOptions();
        configuration.GetSection(GranaryOptions.Section).Bind(options);
        return options;
    }

    /// <summary>Logs go to standard error: standard output belongs to answers.</summary>
    private static void ConfigureLogging(IHostApplicationBuilder builder, LogLevel quietest)
    {
        builder.Logging.ClearProviders();
        builder.Logging.SetMinimumLevel(quietest);
        var others = quietest > LogLevel.Warning ? quietest : LogLevel.Warning;
        builder.Logging.AddFilter("Orleans", others).AddFilter("Microsoft", others);
        // What the host says of a failed start is thrown as well, and told by its message.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        builder.Logging.AddConfiguration(builder.Configuration.GetSection("Logging"));
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    }
}

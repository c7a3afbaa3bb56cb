using Granary.Client;
using Granary.Grains;
using Granary.Silo.Metrics;
using Granary.Silo.Serving;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>What every way of starting shares: settings, the Orleans silo, grains, engines, models, client and metrics.</summary>
internal static class GranaryHost
{
    /// <param name="builder">A builder without defaults: everything that is read or logged is named here.</param>
    /// <param name="settings">Values of the command line, by configuration key; they win over files and environment.</param>
    /// <param name="quietest">What is logged where the configuration says nothing.</param>
    public static void Configure(IHostApplicationBuilder builder, IReadOnlyDictionary<string, string?> settings, LogLevel quietest)
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

        builder.UseOrleans(silo => OrleansSilo.Configure(silo, options.Cluster));
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddGranaryGrains();
        builder.Services.AddOptions<StoredResponseOptions>().Configure<IOptions<GranaryOptions>>((stored, granary) =>
        {
            stored.Lifetime = TimeSpan.FromSeconds(granary.Value.Responses.LifetimeSeconds);
            stored.MaxConversationBytes = granary.Value.Responses.MaxConversationBytes;
            stored.MemoryBytes = granary.Value.Responses.MemoryBytes;
        });
        builder.Services.AddGranaryGeneration();
        builder.Services.AddSingleton<SiloIdentity>();
        builder.Services.AddSingleton<ImportProgressLog>();
        builder.Services.AddSingleton<ModelCatalog>();
        builder.Services.AddSingleton<IReplicaFactory, OnnxReplicaFactory>();
        builder.Services.AddSingleton<IModelFiles, CatalogModelFiles>();
        builder.Services.AddGranaryMetrics(builder.Configuration);
        // After the silo: hosted services start in this order.
        builder.Services.AddSingleton<ModelDeployment>();
        builder.Services.AddHostedService(services => services.GetRequiredService<ModelDeployment>());
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

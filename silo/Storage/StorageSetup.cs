using Granary.Silo.Hosting;
using Granary.Silo.Metrics;
using Orleans.Hosting;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;
using Orleans.Storage;

namespace Granary.Silo.Storage;

/// <summary>The storage of grains that name none: Redis where there is one, else the silo's memory.</summary>
internal static class StorageSetup
{
    /// <summary>What Orleans calls the storage of grains that name none.</summary>
    private const string Default = "Default";

    /// <summary>The Redis that keeps states; null where memory does.</summary>
    public static string? RedisOf(GranaryOptions options) =>
        !string.IsNullOrWhiteSpace(options.Storage.Redis) ? options.Storage.Redis :
        !string.IsNullOrWhiteSpace(options.Cluster.Redis) ? options.Cluster.Redis : null;

    public static void Configure(ISiloBuilder silo, GranaryOptions options)
    {
        silo.Services.AddSingleton<StorageMetrics>();
        if (RedisOf(options) is not { } redis)
        {
            silo.AddMemoryGrainStorageAsDefault();
            return;
        }

        silo.Services.AddSingleton(services => new RedisConnection(
            redis, TimeSpan.FromMilliseconds(options.Storage.TimeoutMilliseconds), services.GetRequiredService<TimeProvider>()));
        silo.Services.AddGrainStorage(Default, (services, _) => new RedisGrainStorage(
            services.GetRequiredService<RedisConnection>(), options.Storage, options.Cluster.ServiceId,
            new OrleansGrainStorageSerializer(services.GetRequiredService<Serializer>()), services.GetRequiredService<StorageMetrics>(),
            services.GetRequiredService<TimeProvider>(), services.GetRequiredService<ILogger<RedisGrainStorage>>()));
    }
}

using Granary.Grains.Cluster;
using Granary.Grains.Models;
using Granary.Grains.Placement;
using Granary.Grains.Replicas;
using Granary.Grains.Routing;
using Granary.Grains.Sessions;
using Granary.Grains.Streams;
using Granary.Grains.Workers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Orleans.Hosting;

namespace Granary.Grains;

/// <summary>Adds what the grains of a silo need.</summary>
public static class GranaryGrainsExtensions
{
    /// <summary>Adds the silo's <see cref="EngineHost"/> and <see cref="ShardHost"/>, the reports of its worker, and the options of all of them.</summary>
    /// <remarks>
    /// The silo adds an <see cref="IReplicaFactory"/>, an <see cref="IShardFactory"/> and an <see cref="IModelFiles"/> of its own. Call this after Orleans was added: hosted services stop in reverse order,
    /// and running sequences need a silo while they are given their time to end.
    /// </remarks>
    public static IServiceCollection AddGranaryGrains(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IModelFiles, NoModelFiles>();
        services.TryAddSingleton<IShardFactory, NoShardFactory>();
        services.TryAddSingleton<IDeviceFigures, NoDeviceFigures>();
        services.TryAddSingleton<ShardHost>();
        services.TryAddSingleton<ReplicaLeader>();
        services.TryAddSingleton<EngineHost>();
        services.TryAddSingleton<LocalWorker>();
        services.TryAddSingleton<ReplicaPlanner>();
        services.TryAddSingleton<RouterMetrics>();
        services.AddPlacementDirector<HomePlacement, HomeDirector>();
        services.AddPlacementDirector<AwayPlacement, AwayDirector>();
        // They stop in reverse order: nothing new is planned here, then replicas with a shard here end, then engines, then the shards beneath them.
        services.AddHostedService(provider => provider.GetRequiredService<ShardHost>());
        services.AddHostedService(provider => provider.GetRequiredService<EngineHost>());
        services.AddHostedService<ShardDrain>();
        services.AddHostedService<InventoryReporter>();
        services.TryAddSingleton<ReplicaReaders>();
        services.TryAddSingleton<NewsFeeds>();
        services.TryAddSingleton<StoredResponseMemory>();
        services.TryAddSingleton<SessionMemory>();
        services.TryAddSingleton<StreamMemory>();
        services.AddOptions<EngineHostOptions>().ValidateOnStart();
        services.AddOptions<ShardHostOptions>().ValidateOnStart();
        services.AddOptions<WorkerOptions>().ValidateOnStart();
        services.AddOptions<InventoryOptions>().ValidateOnStart();
        services.AddOptions<ModelGrainOptions>().ValidateOnStart();
        services.AddOptions<PartitionOptions>().ValidateOnStart();
        services.AddOptions<RouterOptions>().ValidateOnStart();
        services.AddOptions<StoredResponseOptions>().ValidateOnStart();
        services.AddOptions<SessionGrainOptions>().ValidateOnStart();
        services.AddOptions<StreamJournalOptions>().ValidateOnStart();
        services.TryAddEnumerable(
        [
            ServiceDescriptor.Singleton<IValidateOptions<EngineHostOptions>, EngineHostOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<ShardHostOptions>, ShardHostOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<WorkerOptions>, WorkerOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<InventoryOptions>, InventoryOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<ModelGrainOptions>, ModelGrainOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<PartitionOptions>, PartitionOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<RouterOptions>, RouterOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<StoredResponseOptions>, StoredResponseOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<SessionGrainOptions>, SessionGrainOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<StreamJournalOptions>, StreamJournalOptionsValidator>(),
        ]);
        return services;
    }
}

using Granary.Grains.Replicas;
using Granary.Grains.Sessions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>Adds what the grains of a silo need.</summary>
public static class GranaryGrainsExtensions
{
    /// <summary>Adds the silo's <see cref="EngineHost"/> and the options of host, worker, model, router and stored responses.</summary>
    /// <remarks>
    /// The silo adds an <see cref="IReplicaFactory"/> and an <see cref="IModelFiles"/> of its own. Call this after Orleans was added: hosted services stop in reverse order,
    /// and running sequences need a silo while they are given their time to end.
    /// </remarks>
    public static IServiceCollection AddGranaryGrains(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<EngineHost>();
        services.TryAddSingleton<IModelFiles, NoModelFiles>();
        services.AddHostedService(provider => provider.GetRequiredService<EngineHost>());
        services.TryAddSingleton<ReplicaReaders>();
        services.TryAddSingleton<StoredResponseMemory>();
        services.AddOptions<EngineHostOptions>().ValidateOnStart();
        services.AddOptions<WorkerOptions>().ValidateOnStart();
        services.AddOptions<ModelGrainOptions>().ValidateOnStart();
        services.AddOptions<RouterOptions>().ValidateOnStart();
        services.AddOptions<StoredResponseOptions>().ValidateOnStart();
        services.TryAddEnumerable(
        [
            ServiceDescriptor.Singleton<IValidateOptions<EngineHostOptions>, EngineHostOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<WorkerOptions>, WorkerOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<ModelGrainOptions>, ModelGrainOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<RouterOptions>, RouterOptionsValidator>(),
            ServiceDescriptor.Singleton<IValidateOptions<StoredResponseOptions>, StoredResponseOptionsValidator>(),
        ]);
        return services;
    }
}

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using Orleans.Hosting;

namespace Orleans.Runtime;

/// <summary>What a silo and a client register.</summary>
internal static class RuntimeServices
{
    public static IServiceCollection AddSilo(this IServiceCollection services, IConfiguration configuration, Action<ISiloBuilder> configure)
    {
        if (services.Any(descriptor => descriptor.ServiceType == typeof(ClientRuntime)))
        {
            throw new OrleansConfigurationException("A host is a silo or a client, not both: a silo has a client of its own.");
        }

        if (!services.Any(descriptor => descriptor.ServiceType == typeof(SiloRuntime)))
        {
            services.AddCommon(configuration);
            services.AddSingleton<SiloRuntime>();
            services.AddHostedService<SiloHostedService>();
            services.AddSingleton<ILocalSiloDetails>(provider => provider.GetRequiredService<SiloRuntime>());
            services.AddSingleton<IGrainRuntime>(provider => provider.GetRequiredService<SiloRuntime>());
            services.AddSingleton<IClusterClient>(provider => provider.GetRequiredService<SiloRuntime>().GrainFactory);
            services.AddSingleton<IGrainFactory>(provider => provider.GetRequiredService<SiloRuntime>().GrainFactory);
            services.AddSingleton(provider => provider.GetRequiredService<SiloRuntime>().TimerRegistry);
            services.AddSingleton<IClusterMembershipService, ClusterMembershipView>();
            services.AddSingleton<ISiloStatusOracle, SiloStatusView>();
            services.AddSingleton<IGrainContextAccessor, GrainContextAccessor>();
            services.AddSingleton(provider => new Serialization.Serializer(provider.GetRequiredService<SiloRuntime>()));
            services.AddTransient(provider => provider.GetRequiredService<IGrainContextAccessor>().GrainContext);
            services.AddOptions<SiloOptions>().PostConfigure(options => options.SiloName ??= $"Silo_{Guid.NewGuid().ToString("N")[..5]}");
            services.AddPlacementDirector<RandomPlacement, RandomDirector>();
            services.AddPlacementDirector<PreferLocalPlacement, PreferLocalDirector>();
            services.AddPlacementDirector<HashBasedPlacement, HashDirector>();
            services.AddPlacementDirector<ActivationCountBasedPlacement, ActivationCountDirector>();
            services.AddPlacementDirector<ResourceOptimizedPlacement, ActivationCountDirector>();
            services.AddPlacementDirector<StatelessWorkerPlacement, StatelessWorkerDirector>(ServiceLifetime.Transient);
        }

        configure(new RuntimeBuilder(services, configuration));
        return services;
    }

    public static IServiceCollection AddClient(this IServiceCollection services, IConfiguration configuration, Action<IClientBuilder> configure)
    {
        if (services.Any(descriptor => descriptor.ServiceType == typeof(SiloRuntime)))
        {
            throw new OrleansConfigurationException("A host is a silo or a client, not both: a silo has a client of its own.");
        }

        if (!services.Any(descriptor => descriptor.ServiceType == typeof(ClientRuntime)))
        {
            services.AddCommon(configuration);
            services.AddSingleton<ClientRuntime>();
            services.AddHostedService<ClientHostedService>();
            services.AddSingleton<IClusterClient>(provider => provider.GetRequiredService<ClientRuntime>().GrainFactory);
            services.AddSingleton<IGrainFactory>(provider => provider.GetRequiredService<ClientRuntime>().GrainFactory);
        }

        configure(new RuntimeBuilder(services, configuration));
        return services;
    }

    public static void EnableActivityPropagation(this IServiceCollection services)
    {
        foreach (var descriptor in services)
        {
            if (descriptor.ImplementationInstance is ActivityPropagation propagation) propagation.IsEnabled = true;
        }
    }

    private static void AddCommon(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions();
        services.AddLogging();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(new ActivityPropagation());
        services.AddOptions<ClusterOptions>().Bind(configuration.GetSection("Orleans"));
    }
}

/// <summary>One storage that was added.</summary>
internal sealed record StorageName(string Name);

internal sealed class GrainContextAccessor : IGrainContextAccessor
{
    public IGrainContext GrainContext => RuntimeContext.Current!;
}

internal sealed class SiloHostedService(SiloRuntime silo, IEnumerable<StartRefusal> refusals) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (refusals.FirstOrDefault() is { } refusal) throw new OrleansConfigurationException(refusal.Reason);
        silo.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) silo.Kill();
        return silo.StopAsync(cancellationToken);
    }
}

internal sealed class ClientHostedService(ClientRuntime client, IEnumerable<StartRefusal> refusals) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (refusals.FirstOrDefault() is { } refusal) throw new OrleansConfigurationException(refusal.Reason);
        client.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        client.Stop();
        return Task.CompletedTask;
    }
}

/// <summary>Something was configured that the stand-in cannot do.</summary>
internal sealed record StartRefusal(string Reason);

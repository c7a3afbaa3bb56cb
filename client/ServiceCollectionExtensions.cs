using System.Diagnostics.Metrics;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Client;

/// <summary>Adds the client of a Granary cluster.</summary>
public static class GranaryClientExtensions
{
    /// <summary>Adds <see cref="GranaryClient"/>, <see cref="IChatClient"/> and <see cref="IEmbeddingGenerator{TInput,TEmbedding}"/>.</summary>
    /// <remarks>
    /// Where <see cref="GranaryClientOptions.Endpoint"/> is set they speak HTTP, through <c>IHttpClientFactory</c>. Otherwise they call grains through the
    /// <see cref="IGrainFactory"/> that Orleans registers in a silo or a client. Options are checked when the host starts.
    /// </remarks>
    /// <param name="configure">Sets options; they can be bound from configuration as well.</param>
    public static IServiceCollection AddGranaryClient(this IServiceCollection services, Action<GranaryClientOptions>? configure = null)
    {
        services.AddGranaryGeneration();
        services.AddOptions<SurvivalOptions>().Configure<IOptions<GranaryClientOptions>>((survival, client) => client.Value.Survival.CopyTo(survival));
        var options = services.AddOptions<GranaryClientOptions>().ValidateOnStart();
        if (configure is not null) options.Configure(configure);
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<GranaryClientOptions>, GranaryClientOptionsValidator>());
        services.AddHttpClient(GranaryClientOptions.HttpClientName, http => http.Timeout = Timeout.InfiniteTimeSpan); // Each call has its own.
        services.TryAddSingleton(CreateClient);
        // Whoever disposes these does not dispose the client.
        services.TryAddSingleton<IChatClient>(provider => provider.GetRequiredService<GranaryClient>().AsChatClient());
        services.TryAddSingleton<IEmbeddingGenerator<string, Embedding<float>>>(provider => provider.GetRequiredService<GranaryClient>().AsEmbeddingGenerator());
        return services;
    }

    /// <summary>Adds <see cref="IGenerationClient"/> and <see cref="SessionRecorder"/> alone, over grains and in token ids: for whoever makes text by itself.</summary>
    /// <param name="silo">Names the silo that this host's gateway is part of, whose own routers it asks; null outside of silos.</param>
    public static IServiceCollection AddGranaryGeneration(this IServiceCollection services, Func<IServiceProvider, string>? silo = null)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddOptions<SurvivalOptions>();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<SurvivalOptions>, SurvivalOptionsValidator>());
        // By hand, so that a host that checks its services at start does not ask for grains where the client speaks HTTP.
        services.TryAddSingleton<IGenerationClient>(provider => new GrainGenerationClient(
            GrainsOf(provider), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<GrainGenerationClient>>(),
            provider.GetRequiredService<IOptions<SurvivalOptions>>().Value, silo?.Invoke(provider), provider.GetService<IMeterFactory>()));
        services.TryAddSingleton(provider => new SessionRecorder(
            GrainsOf(provider), provider.GetRequiredService<TimeProvider>(), provider.GetService<IMeterFactory>(), provider.GetRequiredService<ILogger<SessionRecorder>>()));
        return services;
    }

    private static GranaryClient CreateClient(IServiceProvider provider)
    {
        var options = provider.GetRequiredService<IOptions<GranaryClientOptions>>().Value.Copy();
        var time = provider.GetRequiredService<TimeProvider>();
        if (options.Endpoint is null)
            return new TracedGranaryClient(new GrainGranaryClient(
                GrainsOf(provider), provider.GetRequiredService<IGenerationClient>(), provider.GetRequiredService<SessionRecorder>(), options, time, new Random()), null);
        var http = provider.GetRequiredService<IHttpClientFactory>();
        return new TracedGranaryClient(
            new HttpGranaryClient(() => http.CreateClient(GranaryClientOptions.HttpClientName), options, time, new Random()), options.Endpoint);
    }

    private static IGrainFactory GrainsOf(IServiceProvider provider) => provider.GetService<IGrainFactory>() ?? throw new InvalidOperationException(
        $"There is no {nameof(IGrainFactory)}: call UseOrleans or UseOrleansClient, or set {nameof(GranaryClientOptions)}.{nameof(GranaryClientOptions.Endpoint)} to reach the cluster over HTTP.");
}

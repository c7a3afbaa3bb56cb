using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Granary.Client;

/// <summary>Adds the client of a Granary cluster.</summary>
public static class GranaryClientExtensions
{
    /// <summary>Adds <see cref="IGenerationClient"/> over the <c>IGrainFactory</c> that Orleans registers in a silo or a client.</summary>
    public static IServiceCollection AddGranaryClient(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IGenerationClient, GrainGenerationClient>();
        return services;
    }
}

namespace Granary.Silo.Metrics;

/// <summary>Registers the meters, the scrape endpoint's collector and, where the environment names a receiver, OTLP export.</summary>
internal static class MetricsSetup
{
    public static IServiceCollection AddGranaryMetrics(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddMetrics();
        services.AddSingleton<RequestMetrics>();
        services.AddSingleton<EngineMetrics>();
        services.AddSingleton<MetricCollector>();
        if (!string.IsNullOrWhiteSpace(configuration["OTEL_EXPORTER_OTLP_ENDPOINT"])) services.AddHostedService<OtlpExport>();
        return services;
    }
}

using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway;

/// <summary>The gateway's services and routes, all of them.</summary>
internal static class GatewayRoutes
{
    public static IServiceCollection AddGranaryGateway(this IServiceCollection services)
    {
        services.AddRoutingCore();
        services.AddSingleton<RequestBody>();
        services.AddSingleton<PlanReader>();
        services.AddSingleton<TokenLane>();
        services.AddSingleton<GenerationRunner>();
        services.AddSingleton<ConcurrencyLimit>();
        services.AddSingleton<GenerationEndpoint>();
        services.AddSingleton<ModelsEndpoint>();
        services.AddSingleton<HealthEndpoints>();
        services.AddSingleton<MetricsEndpoint>();
        return services;
    }

    public static void MapGranaryGateway(this WebApplication app)
    {
        // Meters exist from the start, so that a scrape before the first request shows the gauges.
        app.Services.GetRequiredService<MetricCollector>();
        app.Services.GetRequiredService<EngineMetrics>();
        app.Services.GetRequiredService<RequestMetrics>();

        app.UseMiddleware<RequestIdMiddleware>();
        app.UseMiddleware<ErrorMiddleware>();
        app.UseRouting();

        var generation = app.Services.GetRequiredService<GenerationEndpoint>();
        app.MapPost("/v1/chat/completions", (RequestDelegate)generation.ChatAsync);
        app.MapPost("/v1/completions", (RequestDelegate)generation.CompletionAsync);
        var models = app.Services.GetRequiredService<ModelsEndpoint>();
        app.MapGet("/v1/models", (RequestDelegate)models.ListAsync);
        app.MapGet("/v1/models/{id}", (RequestDelegate)models.GetAsync);
        var health = app.Services.GetRequiredService<HealthEndpoints>();
        app.MapGet("/health/live", (RequestDelegate)health.LiveAsync);
        app.MapGet("/health/ready", (RequestDelegate)health.ReadyAsync);
        app.MapGet("/metrics", (RequestDelegate)app.Services.GetRequiredService<MetricsEndpoint>().GetAsync);
    }
}

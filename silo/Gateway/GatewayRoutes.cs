using Granary.Silo.Gateway.Responses;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Gateway.Streams;
using Granary.Silo.Hosting;
using Granary.Silo.Metrics;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>The gateway's services and routes, all of them.</summary>
internal static class GatewayRoutes
{
    public static IServiceCollection AddGranaryGateway(this IServiceCollection services)
    {
        services.AddRoutingCore();
        services.AddCors();
        services.AddSingleton<ApiKeys>();
        services.AddSingleton<ModelField>();
        services.AddSingleton<RequestBody>();
        services.AddSingleton<PlanReader>();
        services.AddSingleton<GenerationRunner>();
        services.AddSingleton<StreamJournals>();
        services.AddSingleton<StreamsEndpoint>();
        services.AddSingleton<ConcurrencyLimit>();
        services.AddSingleton<GenerationEndpoint>();
        services.AddSingleton<SessionTurns>();
        services.AddSingleton<SessionsEndpoint>();
        services.AddSingleton<ResponseStore>();
        services.AddSingleton<ResponseReader>();
        services.AddSingleton<ResponsesEndpoint>();
        services.AddSingleton<StoredResponsesEndpoint>();
        services.AddSingleton<EmbeddingReader>();
        services.AddSingleton<EmbeddingEndpoint>();
        services.AddSingleton<TokenEndpoints>();
        services.AddSingleton<ModelsEndpoint>();
        services.AddSingleton<TopologyEndpoint>();
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
        UseCors(app);
        app.UseMiddleware<ErrorMiddleware>();
        app.UseMiddleware<ApiKeyMiddleware>();
        app.UseRouting();

        var generation = app.Services.GetRequiredService<GenerationEndpoint>();
        var streams = app.Services.GetRequiredService<StreamsEndpoint>();
        app.MapPost(GenerationEndpoint.ChatPath, streams.Or(generation.ChatAsync));
        app.MapPost(GenerationEndpoint.CompletionPath, streams.Or(generation.CompletionAsync));
        app.MapPost("/v1/responses", streams.Or(app.Services.GetRequiredService<ResponsesEndpoint>().CreateAsync));
        app.MapGet(StreamsEndpoint.Path, (RequestDelegate)streams.GetAsync);
        var stored = app.Services.GetRequiredService<StoredResponsesEndpoint>();
        app.MapGet("/v1/responses/{id}", (RequestDelegate)stored.GetAsync);
        app.MapDelete("/v1/responses/{id}", (RequestDelegate)stored.DeleteAsync);
        app.MapGet("/v1/responses/{id}/input_items", (RequestDelegate)stored.ListInputAsync);
        app.MapPost("/v1/responses/{id}/cancel", (RequestDelegate)stored.CancelAsync);
        var sessions = app.Services.GetRequiredService<SessionsEndpoint>();
        app.MapGet("/v1/sessions/{id}", (RequestDelegate)sessions.GetAsync);
        app.MapDelete("/v1/sessions/{id}", (RequestDelegate)sessions.DeleteAsync);
        app.MapPost("/v1/sessions/{id}/fork", (RequestDelegate)sessions.ForkAsync);
        app.MapPost("/v1/embeddings", (RequestDelegate)app.Services.GetRequiredService<EmbeddingEndpoint>().PostAsync);
        var tokens = app.Services.GetRequiredService<TokenEndpoints>();
        app.MapPost("/tokenize", (RequestDelegate)tokens.TokenizeAsync);
        app.MapPost("/detokenize", (RequestDelegate)tokens.DetokenizeAsync);
        app.MapGet("/version", (RequestDelegate)DescriptionEndpoints.VersionAsync);
        app.MapGet("/openapi.json", (RequestDelegate)DescriptionEndpoints.OpenApiAsync);
        var models = app.Services.GetRequiredService<ModelsEndpoint>();
        app.MapGet("/v1/models", (RequestDelegate)models.ListAsync);
        app.MapGet("/v1/models/{id}", (RequestDelegate)models.GetAsync);
        app.MapGet("/admin/topology", (RequestDelegate)app.Services.GetRequiredService<TopologyEndpoint>().GetAsync);
        var health = app.Services.GetRequiredService<HealthEndpoints>();
        app.MapGet("/health", (RequestDelegate)health.ReadyAsync);
        app.MapGet("/health/live", (RequestDelegate)health.LiveAsync);
        app.MapGet("/health/ready", (RequestDelegate)health.ReadyAsync);
        app.MapGet("/metrics", (RequestDelegate)app.Services.GetRequiredService<MetricsEndpoint>().GetAsync);
    }

    /// <summary>Pages of other origins may ask only where the settings name them; what they are told of errors is as for everybody.</summary>
    private static void UseCors(WebApplication app)
    {
        var origins = app.Services.GetRequiredService<IOptions<GranaryOptions>>().Value.Gateway.CorsOrigins;
        if (origins.Count == 0) return;
        app.UseCors(policy => policy.WithOrigins([.. origins]).AllowAnyHeader().WithMethods("GET", "POST", "DELETE").WithExposedHeaders(RequestIdMiddleware.Header));
    }
}

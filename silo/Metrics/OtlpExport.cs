using Granary.Client;
using Granary.Grains.Routing;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace Granary.Silo.Metrics;

/// <summary>Sends metrics to the OpenTelemetry collector that <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> names, for as long as the host runs.</summary>
internal sealed class OtlpExport : IHostedService, IDisposable
{
    private MeterProvider? _provider;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _provider = Sdk.CreateMeterProviderBuilder()
            .AddMeter(RequestMetrics.MeterName, EngineMetrics.MeterName, StorageMetrics.MeterName, RouterMetrics.MeterName, "Microsoft.Orleans")
            .AddMeter(SessionRecorder.MeterName, GrainGenerationClient.MeterName)
            .AddOtlpExporter()
            .Build();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <summary>Sends what is left.</summary>
    public void Dispose()
    {
        _provider?.Dispose();
        _provider = null;
    }
}

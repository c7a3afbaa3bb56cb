using System.Text;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway;

/// <summary>Answers Prometheus.</summary>
internal sealed class MetricsEndpoint(MetricCollector collector)
{
    public async Task GetAsync(HttpContext context)
    {
        context.Response.ContentType = PrometheusText.ContentType;
        await context.Response.BodyWriter.WriteAsync(Encoding.UTF8.GetBytes(PrometheusText.Write(collector.Collect())), context.RequestAborted);
    }
}

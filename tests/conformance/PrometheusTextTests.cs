using System.Diagnostics.Metrics;
using Granary.Silo.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>The exposition format's corners.</summary>
public sealed class PrometheusTextTests
{
    [Theory]
    [InlineData("vllm.num_requests_running", null, "Gauge", "vllm:num_requests_running")]
    [InlineData("vllm.request_success", null, "Counter", "vllm:request_success_total")]
    [InlineData("vllm.time_to_first_token_seconds", "s", "Histogram", "vllm:time_to_first_token_seconds")]
    [InlineData("gen_ai.server.request.duration", "s", "Histogram", "gen_ai_server_request_duration_seconds")]
    public void Names_FollowTheirConvention(string instrument, string? unit, string kind, string expected) =>
        Assert.Equal(expected, PrometheusText.NameOf(instrument, unit, Enum.Parse<MetricKind>(kind)));

    [Fact]
    public void Text_EscapesAndCumulates()
    {
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var meters = services.GetRequiredService<IMeterFactory>();
        using var collector = new MetricCollector(meters);
        var meter = meters.Create("Granary.Test");
        var counter = meter.CreateCounter<long>("a.count", null, "back\\slash\nline");
        var histogram = meter.CreateHistogram<double>("b", "s", "h", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.5, 1] });
        meter.CreateObservableGauge("c", () => 1.5);
        counter.Add(2, new KeyValuePair<string, object?>("label.name", "q\"uote\\ \n"));
        counter.Add(3, new KeyValuePair<string, object?>("label.name", "q\"uote\\ \n"));
        foreach (var value in (double[])[0.5, 0.75, 2]) histogram.Record(value);

        var text = PrometheusText.Write(collector.Collect());

        Assert.Equal(
            """
            # HELP a_count_total back\\slash\nline
            # TYPE a_count_total counter
            a_count_total{label_name="q\"uote\\ \n"} 5
            # HELP b_seconds h
            # TYPE b_seconds histogram
            b_seconds_bucket{le="0.5"} 1
            b_seconds_bucket{le="1"} 2
            b_seconds_bucket{le="+Inf"} 3
            b_seconds_sum 3.25
            b_seconds_count 3
            # HELP c 
            # TYPE c gauge
            c 1.5

            """, text);
    }

    /// <summary>Another host in the process has meters of the same names.</summary>
    [Fact]
    public void OtherFactorys_Meters_AreNotHeard()
    {
        using var mine = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var other = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var collector = new MetricCollector(mine.GetRequiredService<IMeterFactory>());
        other.GetRequiredService<IMeterFactory>().Create("Granary.Test").CreateCounter<long>("a").Add(1);

        Assert.Equal("", PrometheusText.Write(collector.Collect()));
    }
}

using System.Diagnostics.Metrics;

namespace Granary.Silo.Metrics;

/// <summary>What the gateway's callers experience: latencies and outcomes, under the names of vLLM and of OpenTelemetry's conventions.</summary>
/// <remarks>A dot after <c>vllm</c> is exported to Prometheus as the colon that dashboards expect; OpenTelemetry allows no colon.</remarks>
internal sealed class RequestMetrics
{
    public const string MeterName = "Granary.Gateway";
    private const string Provider = "granary";

    // Bounds of vllm/v1/metrics/loggers.py and of the GenAI semantic conventions, so that quantiles compare.
    private static readonly double[] FirstTokenBounds =
        [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560];
    private static readonly double[] InterTokenBounds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
    private static readonly double[] RequestBounds =
        [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];
    private static readonly double[] TokenCountBounds =
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
    private static readonly double[] ConventionDurationBounds =
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    private static readonly double[] ConventionFirstTokenBounds =
        [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
    private static readonly double[] ConventionPerTokenBounds =
        [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];

    private readonly Histogram<double> _firstToken;
    private readonly Histogram<double> _interToken;
    private readonly Histogram<double> _request;
    private readonly Histogram<double> _promptTokens;
    private readonly Histogram<double> _generationTokens;
    private readonly Counter<long> _success;
    private readonly Counter<long> _refused;
    private readonly Histogram<double> _serverDuration;
    private readonly Histogram<double> _serverFirstToken;
    private readonly Histogram<double> _serverPerToken;

    public RequestMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _firstToken = Create("vllm.time_to_first_token_seconds", "s", "From the request's arrival to its first token.", FirstTokenBounds);
        _interToken = Create("vllm.inter_token_latency_seconds", "s", "Between one token of a sequence and the next.", InterTokenBounds);
        _request = Create("vllm.e2e_request_latency_seconds", "s", "From the request's arrival to its last token.", RequestBounds);
        _promptTokens = Create("vllm.request_prompt_tokens", null, "Prompt tokens of a finished sequence.", TokenCountBounds);
        _generationTokens = Create("vllm.request_generation_tokens", null, "Generated tokens of a finished sequence.", TokenCountBounds);
        _success = meter.CreateCounter<long>("vllm.request_success", null, "Finished sequences.");
        _refused = meter.CreateCounter<long>("granary.gateway.errors", null, "Requests answered with an error, by HTTP status and code.");
        _serverDuration = Create("gen_ai.server.request.duration", "s", "Time from request to last byte or token.", ConventionDurationBounds);
        _serverFirstToken = Create("gen_ai.server.time_to_first_token", "s", "Time to generate the first token.", ConventionFirstTokenBounds);
        _serverPerToken = Create("gen_ai.server.time_per_output_token", "s", "Mean time per token after the first.", ConventionPerTokenBounds);

        Histogram<double> Create(string name, string? unit, string description, double[] bounds) =>
            meter.CreateHistogram(name, unit, description, advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });
    }

    public void FirstToken(string model, string operation, TimeSpan sinceArrival)
    {
        _firstToken.Record(sinceArrival.TotalSeconds, new KeyValuePair<string, object?>("model_name", model));
        _serverFirstToken.Record(
            sinceArrival.TotalSeconds, new("gen_ai.operation.name", operation), new("gen_ai.provider.name", Provider), new("gen_ai.request.model", model));
    }

    public void NextToken(string model, TimeSpan sinceLast) =>
        _interToken.Record(sinceLast.TotalSeconds, new KeyValuePair<string, object?>("model_name", model));

    /// <param name="perToken">Mean time per token after the first; null where there was at most one.</param>
    public void Finished(string model, string operation, string reason, int promptTokens, int generatedTokens, TimeSpan elapsed, TimeSpan? perToken)
    {
        var name = new KeyValuePair<string, object?>("model_name", model);
        _request.Record(elapsed.TotalSeconds, name);
        _promptTokens.Record(promptTokens, name);
        _generationTokens.Record(generatedTokens, name);
        _success.Add(1, name, new("finished_reason", reason));
        _serverDuration.Record(
            elapsed.TotalSeconds, new("gen_ai.operation.name", operation), new("gen_ai.provider.name", Provider), new("gen_ai.request.model", model));
        if (perToken is { } mean)
        {
            _serverPerToken.Record(
                mean.TotalSeconds, new("gen_ai.operation.name", operation), new("gen_ai.provider.name", Provider), new("gen_ai.request.model", model));
        }
    }

    public void Error(int status, string? code) =>
        _refused.Add(1, new KeyValuePair<string, object?>("status", status), new KeyValuePair<string, object?>("code", code ?? ""));
}

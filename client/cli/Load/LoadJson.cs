using System.Text.Encodings.Web;
using System.Text.Json;

namespace Granary.Client.Cli.Load;

/// <summary>A result for programs: settings, seed and all figures; the API key is not among them.</summary>
internal static class LoadJson
{
    private static readonly JsonWriterOptions Options = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(Stream output, LoadResult result)
    {
        using var json = new Utf8JsonWriter(output, Options);
        json.WriteStartObject();
        WriteSettings(json, result.Settings);
        json.WriteString("started_at", result.StartedAt);
        json.WriteBoolean("interrupted", result.Interrupted);
        Number(json, "elapsed_s", result.Elapsed.TotalSeconds);
        json.WriteStartObject("requests");
        json.WriteNumber("succeeded", result.Succeeded);
        json.WriteNumber("failed", result.Failed);
        json.WriteStartObject("errors");
        foreach (var (kind, count) in result.Errors) json.WriteNumber(kind, count);
        json.WriteEndObject();
        Number(json, "per_s", result.RequestsPerSecond);
        json.WriteEndObject();
        json.WriteStartObject("tokens");
        json.WriteNumber("prompt", result.PromptTokens);
        json.WriteNumber("prompt_cached", result.CachedTokens);
        json.WriteNumber("completion", result.CompletionTokens);
        json.WriteNumber("frames", result.Frames);
        Number(json, "prompt_per_s", result.PromptTokensPerSecond);
        Number(json, "completion_per_s", result.CompletionTokensPerSecond);
        json.WriteEndObject();
        json.WriteStartObject("goodput");
        Number(json, "per_s", result.GoodPerSecond);
        Number(json, "fraction", result.GoodFraction);
        json.WriteEndObject();
        json.WriteStartObject("latency_ms");
        WriteLatency(json, "ttft", result.FirstToken);
        WriteLatency(json, "itl", result.InterToken);
        WriteLatency(json, "e2e", result.EndToEnd);
        WriteLatency(json, "sent_late", result.SentAfter);
        json.WriteEndObject();
        if (result.Settings.Rows) WriteRows(json, result.Rows);
        json.WriteEndObject();
    }

    private static void WriteSettings(Utf8JsonWriter json, LoadSettings settings)
    {
        json.WriteStartObject("settings");
        json.WriteString("url", settings.Url.ToString());
        json.WriteString("model", settings.Model);
        json.WriteString("endpoint", LoadTable.NameOf(settings.Endpoint));
        Number(json, "concurrency", settings.Concurrency);
        Number(json, "rate", settings.Rate);
        json.WriteString("arrivals", settings.Rate is null ? null : LoadTable.NameOf(settings.Arrivals));
        json.WriteNumber("max_connections", settings.MaxConnections);
        json.WriteNumber("requests", settings.Requests);
        Number(json, "duration_s", settings.Duration?.TotalSeconds);
        json.WriteNumber("warmup", settings.Warmup);
        json.WriteString("prompt_tokens", settings.Trace is null ? settings.PromptTokens.ToString() : null);
        json.WriteString("output_tokens", settings.Trace is null ? settings.OutputTokens.ToString() : null);
        json.WriteString("trace", settings.TraceFile);
        json.WriteNumber("prefix_groups", settings.PrefixGroups);
        json.WriteNumber("prefix_tokens", settings.PrefixTokens);
        Number(json, "temperature", settings.Temperature);
        json.WriteBoolean("ignore_eos", settings.IgnoreEos);
        json.WriteNumber("seed", settings.Seed);
        Number(json, "timeout_s", settings.Timeout.TotalSeconds);
        Number(json, "slo_ttft_ms", settings.SloFirstToken?.TotalMilliseconds);
        Number(json, "slo_itl_ms", settings.SloInterToken?.TotalMilliseconds);
        json.WriteEndObject();
    }

    private static void WriteLatency(Utf8JsonWriter json, string name, LatencyHistogram of)
    {
        json.WriteStartObject(name);
        json.WriteNumber("count", of.Count);
        Milliseconds(json, "min", of, of.Min);
        Milliseconds(json, "mean", of, of.Mean);
        foreach (var (percentile, fraction) in LoadTable.Percentiles) Milliseconds(json, percentile, of, of.Percentile(fraction));
        Milliseconds(json, "max", of, of.Max);
        json.WriteEndObject();
    }

    private static void WriteRows(Utf8JsonWriter json, IEnumerable<RequestOutcome> rows)
    {
        json.WriteStartArray("rows");
        foreach (var row in rows)
        {
            json.WriteStartObject();
            json.WriteNumber("index", row.Index);
            Number(json, "due_s", row.Due.TotalSeconds);
            Number(json, "sent_late_ms", row.SentAfter.TotalMilliseconds);
            Number(json, "ttft_ms", row.FirstToken?.TotalMilliseconds);
            Number(json, "mean_itl_ms", row.MeanInterToken?.TotalMilliseconds);
            Number(json, "e2e_ms", row.EndToEnd.TotalMilliseconds);
            Number(json, "prompt_tokens", row.Usage?.Prompt);
            Number(json, "cached_tokens", row.Usage?.Cached);
            json.WriteNumber("completion_tokens", row.CompletionTokens);
            json.WriteString("error", row.Error);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void Milliseconds(Utf8JsonWriter json, string name, LatencyHistogram of, double seconds) =>
        Number(json, name, of.Count == 0 ? null : seconds * 1000);

    private static void Number(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number)
            json.WriteNumber(name, Math.Round(number, 4));
        else
            json.WriteNull(name);
    }
}

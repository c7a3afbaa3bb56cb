using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>What operators see.</summary>
[Collection(SiloTests.Name)]
public sealed partial class MetricsAndHealthTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [Fact]
    public async Task Scrape_IsInTheExpositionFormat()
    {
        await _http.AskAsync(Api.Chat, Api.ChatBody("Hi", ("max_tokens", 4)));
        using var response = await _http.GetAsync("/metrics");

        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        var scrape = Parse(await response.Content.ReadAsStringAsync());
        foreach (var name in (string[])[
            "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:cache_config_info",
            "vllm:num_preemptions_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total",
            "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
            "vllm:external_prefix_cache_hits_total", "vllm:kv_offload_bytes_total", "vllm:kv_offload_corrupt_blocks_total"])
        {
            var sample = Assert.Single(scrape, s => s.Name == name);
            Assert.Contains($"model_name=\"{Api.Model}\"", sample.Labels);
            Assert.Contains("engine=\"0\"", sample.Labels);
        }

        Assert.Contains(scrape, s => s.Name == "gen_ai_server_request_duration_seconds_count" && s.Labels.Contains("gen_ai_operation_name=\"chat\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Counts_MatchWhatWasAnswered()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        var before = Parse(await _http.GetStringAsync("/metrics"));
        var (prompt, generated, cached) = (0, 0, 0);
        for (var i = 0; i < 5; i++)
        {
            var usage = (await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?", ("max_tokens", 5 + i), ("ignore_eos", true))))["usage"]!;
            prompt += (int)usage["prompt_tokens"]!;
            generated += (int)usage["completion_tokens"]!;
            cached += (int)usage["prompt_tokens_details"]!["cached_tokens"]!;
        }

        await fixture.Silo.WaitUntilIdleAsync();
        var after = Parse(await _http.GetStringAsync("/metrics"));
        Assert.Equal(prompt, Grown("vllm:prompt_tokens_total"));
        Assert.Equal(generated, Grown("vllm:generation_tokens_total"));
        Assert.Equal(cached, Grown("vllm:prefix_cache_hits_total"));
        Assert.Equal(5, Grown("vllm:time_to_first_token_seconds_count"));
        Assert.Equal(generated - 5, Grown("vllm:inter_token_latency_seconds_count"));
        Assert.Equal(5, Grown("vllm:e2e_request_latency_seconds_count"));
        Assert.Equal(5, Grown("vllm:request_success_total", "finished_reason=\"length\""));
        Assert.Equal(5, Grown("gen_ai_server_time_to_first_token_seconds_count"));
        Assert.Equal(5, Grown("gen_ai_server_time_per_output_token_seconds_count"));

        double Grown(string name, string label = "") => Value(after, name, label) - Value(before, name, label);
    }

    [Fact]
    public async Task Ready_OnlyWithAReplicaOfEveryModel()
    {
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var silo = await RunningSilo.StartAsync(
            configure: services =>
            {
                var real = services.Last(service => service.ServiceType == typeof(IReplicaFactory));
                services.AddSingleton<IReplicaFactory>(provider =>
                    new HeldFactory((IReplicaFactory)ActivatorUtilities.CreateInstance(provider, real.ImplementationType!), gate.Task));
            },
            waitForModels: false);

        using (var live = await silo.Http.GetAsync("/health/live")) Assert.Equal(HttpStatusCode.OK, live.StatusCode);
        using (var ready = await silo.Http.GetAsync("/health/ready"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
            Assert.NotNull(ready.Headers.RetryAfter);
            Assert.Equal(Api.Model, (string)JsonNode.Parse(await ready.Content.ReadAsStringAsync())!["missing"]![0]!);
        }

        using (var early = await silo.Http.SendAsync(Api.Chat, Api.ChatBody("Hi")))
        {
            Assert.Equal("model_not_ready", (string?)(await Api.ErrorAsync(early, HttpStatusCode.ServiceUnavailable))["code"]);
            Assert.NotNull(early.Headers.RetryAfter);
        }

        gate.SetResult();
        await silo.Services.GetRequiredService<Silo.Hosting.ModelDeployment>().Completed.WaitAsync(TimeSpan.FromMinutes(1));
        using var late = await silo.Http.GetAsync("/health/ready");
        Assert.Equal(HttpStatusCode.OK, late.StatusCode);
    }

    /// <summary>Every line is a comment of a known form or a sample; every sample follows the type it belongs to; histograms add up.</summary>
    private static List<Sample> Parse(string text)
    {
        Assert.EndsWith("\n", text);
        var samples = new List<Sample>();
        var (family, type) = ("", "");
        var seen = new HashSet<string>();
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (HelpLine().Match(line) is { Success: true } help)
            {
                family = help.Groups[1].Value;
                Assert.True(seen.Add(family), $"{family} comes twice");
            }
            else if (TypeLine().Match(line) is { Success: true } typed)
            {
                Assert.Equal(family, typed.Groups[1].Value);
                type = typed.Groups[2].Value;
            }
            else
            {
                var match = SampleLine().Match(line);
                Assert.True(match.Success, line);
                var name = match.Groups["name"].Value;
                Assert.Contains(name, type == "histogram" ? (string[])[family + "_bucket", family + "_sum", family + "_count"] : [family]);
                var value = match.Groups["value"].Value;
                samples.Add(new(name, match.Groups["labels"].Value, value == "+Inf" ? double.PositiveInfinity : double.Parse(value, CultureInfo.InvariantCulture)));
            }
        }

        foreach (var count in samples.Where(s => s.Name.EndsWith("_count", StringComparison.Ordinal)))
        {
            var buckets = samples.Where(s => s.Name == count.Name[..^6] + "_bucket" && s.Labels.StartsWith(count.Labels, StringComparison.Ordinal)).ToArray();
            Assert.Equal(buckets.Select(b => b.Value).Order(), buckets.Select(b => b.Value));
            Assert.Contains("le=\"+Inf\"", buckets[^1].Labels);
            Assert.Equal(count.Value, buckets[^1].Value);
        }

        return samples;
    }

    private static double Value(List<Sample> samples, string name, string label) =>
        samples.Where(s => s.Name == name && s.Labels.Contains(label, StringComparison.Ordinal)).Sum(s => s.Value);

    private sealed record Sample(string Name, string Labels, double Value);

    private sealed class HeldFactory(IReplicaFactory real, Task gate) : IReplicaFactory
    {
        public async Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken)
        {
            await gate.WaitAsync(cancellationToken);
            return await real.CreateAsync(spec, cancellationToken);
        }
    }

    [GeneratedRegex("^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) .*$")]
    private static partial Regex HelpLine();

    [GeneratedRegex("^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*",?)*)\})? (?<value>-?[0-9.]+([eE][+-]?[0-9]+)?|\+Inf|NaN)$""")]
    private static partial Regex SampleLine();
}

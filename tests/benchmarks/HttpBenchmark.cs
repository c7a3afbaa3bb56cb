using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Granary.Engine;
using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Benchmarks;

/// <summary>What the way through HTTP, gateway, grains and back costs, against reading the same engine without them.</summary>
/// <remarks>
/// One silo in this process, one replica of the 110M shape on one thread. Windows come in pairs on the very same engine: the bare loop
/// submits to it and reads the handles; the other side streams <c>/v1/completions</c> over loopback, with the client in the same process
/// and paid for like the server. The prompts of a pair are the same on both sides and new in every pair; a cache salt keeps one side from finding the other's blocks.
/// </remarks>
internal static class HttpBenchmark
{
    private const int Pairs = 7;
    private const int Streams = 16;
    private const int PromptTokens = 64;
    private const int MaxTokens = 128;

    public static async Task<int> RunAsync(string[] arguments)
    {
        if (arguments is not ([] or ["--output", { Length: > 0 }]))
        {
            Console.Error.WriteLine("Usage: http [--output FILE]");
            return 2;
        }

        var (cache, source) = MediumModel.Prepare();
        await using var app = WebHost.Build(Settings(cache.Root, source), ["http://127.0.0.1:0"], LogLevel.Warning);
        await app.StartAsync();
        await app.Services.GetRequiredService<ModelDeployment>().Completed;
        var engine = app.Services.GetRequiredService<EngineHost>().Replicas.Single().Engine;
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()), Timeout = TimeSpan.FromMinutes(10) };

        await BareAsync(engine, Prompts(-1), "warm-up");
        await HttpAsync(http, Prompts(-2));
        var windows = new List<(Window Bare, Window Http)>();
        for (var pair = 0; pair < Pairs; pair++)
        {
            var prompts = Prompts(pair);
            // In turn first and second: a drifting machine favours neither.
            var first = pair % 2 == 0 ? await BareAsync(engine, prompts, $"bare-{pair}") : await HttpAsync(http, prompts);
            var second = pair % 2 == 0 ? await HttpAsync(http, prompts) : await BareAsync(engine, prompts, $"bare-{pair}");
            windows.Add(pair % 2 == 0 ? (first, second) : (second, first));
        }

        await app.StopAsync();
        var results = new[] { Side.Of("bare engine loop", windows.Select(pair => pair.Bare)), Side.Of("HTTP and grains", windows.Select(pair => pair.Http)) };
        var ratios = windows.Select(pair => pair.Http.TokensPerSecond / pair.Bare.TokensPerSecond).ToArray();

        Console.WriteLine($"{Streams} streams of {PromptTokens} + {MaxTokens} tokens, 110M shape, float32, 1 engine thread; {Pairs} pairs of windows");
        Console.WriteLine("side               tokens/s  first token ms p50 / p99  between tokens ms p50 / p99  CPU µs a token  bytes a token");
        foreach (var side in results) Console.WriteLine(side);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"ratio, pair by pair: median {Statistics.Median(ratios):F3} ({ratios.Min():F3} … {ratios.Max():F3})"));
        Report.Write(arguments is [_, var output] ? output : Report.DefaultPath("http"), new { Streams, PromptTokens, MaxTokens, Sides = results, Ratios = ratios, MedianRatio = Statistics.Median(ratios) });
        return 0;
    }

    private static Dictionary<string, string?> Settings(string cache, string source) => new()
    {
        ["Granary:Models:0"] = $"medium={source}",
        ["Granary:CacheDirectory"] = cache,
        ["Granary:Threads"] = "1",
        ["Granary:KvBlocks"] = "512",
    };

    private static int[][] Prompts(int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, Streams).Select(_ => Enumerable.Range(0, PromptTokens).Select(_ => random.Next(SyntheticShape.Medium.Vocabulary)).ToArray())];
    }

    private static Task<Window> BareAsync(IInferenceEngine engine, int[][] prompts, string salt) => Window.MeasureAsync(prompts, async (prompt, stamp) =>
    {
        var request = new EngineRequest
        {
            RequestId = salt,
            PromptTokenIds = prompt,
            CacheSalt = salt,
            Sampling = new() { MaxTokens = MaxTokens, Temperature = 0 },
        };
        await using var handle = engine.TrySubmit(request, out var refusal) ?? throw new InvalidOperationException(refusal!.Message);
        while (await handle.WaitToReadAsync())
        {
            while (handle.TryRead(out _)) stamp();
        }
    });

    private static Task<Window> HttpAsync(HttpClient http, int[][] prompts) => Window.MeasureAsync(prompts, async (prompt, stamp) =>
    {
        var body = new JsonObject
        {
            ["model"] = "medium",
            ["prompt"] = new JsonArray([.. prompt.Select(id => (JsonNode)id)]),
            ["max_tokens"] = MaxTokens,
            ["temperature"] = 0,
            ["ignore_eos"] = true,
            ["stream"] = true,
        };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions")
        {
            Content = new StringContent(body.ToJsonString(), new MediaTypeHeaderValue("application/json")),
        };
        using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        while (await reader.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("data: {", StringComparison.Ordinal) && !line.Contains("\"text\":\"\"", StringComparison.Ordinal)) stamp();
        }
    });

    /// <summary>One side's run over all prompts of a pair.</summary>
    private sealed record Window(double TokensPerSecond, double[] FirstTokenMs, double[] BetweenTokensMs, double CpuMicrosecondsPerToken, double BytesPerToken)
    {
        public static async Task<Window> MeasureAsync(int[][] prompts, Func<int[], Action, Task> stream)
        {
            var stamps = prompts.Select(_ => new List<long>(MaxTokens)).ToArray();
            var allocated = GC.GetTotalAllocatedBytes();
            var cpu = Environment.CpuUsage.TotalTime;
            var start = Stopwatch.GetTimestamp();
            await Task.WhenAll(prompts.Select((prompt, i) => Task.Run(() => stream(prompt, () => stamps[i].Add(Stopwatch.GetTimestamp())))));
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var tokens = prompts.Length * MaxTokens;
            if (stamps.Any(list => list.Count != MaxTokens))
                throw new InvalidOperationException($"Streams gave {string.Join(", ", stamps.Select(list => list.Count))} tokens, {MaxTokens} were asked for.");
            return new(
                tokens / seconds,
                [.. stamps.Select(list => Stopwatch.GetElapsedTime(start, list[0]).TotalMilliseconds)],
                [.. stamps.SelectMany(list => list.Zip(list.Skip(1), (a, b) => Stopwatch.GetElapsedTime(a, b).TotalMilliseconds))],
                (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / tokens,
                (double)(GC.GetTotalAllocatedBytes() - allocated) / tokens);
        }
    }

    /// <summary>Medians of a side's windows; latencies over all its tokens.</summary>
    private sealed record Side(
        string Name, double TokensPerSecond, double FirstTokenMsP50, double FirstTokenMsP99, double BetweenTokensMsP50, double BetweenTokensMsP99,
        double CpuMicrosecondsPerToken, double BytesPerToken)
    {
        public static Side Of(string name, IEnumerable<Window> all)
        {
            var windows = all.ToArray();
            var first = windows.SelectMany(window => window.FirstTokenMs).ToArray();
            var between = windows.SelectMany(window => window.BetweenTokensMs).ToArray();
            return new(
                name, Statistics.Median([.. windows.Select(window => window.TokensPerSecond)]),
                Statistics.Median(first), Statistics.Percentile(first, 0.99), Statistics.Median(between), Statistics.Percentile(between, 0.99),
                Statistics.Median([.. windows.Select(window => window.CpuMicrosecondsPerToken)]), Statistics.Median([.. windows.Select(window => window.BytesPerToken)]));
        }

        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture,
            $"{Name,-18}{TokensPerSecond,9:F1}{FirstTokenMsP50,15:F1} / {FirstTokenMsP99,-10:F1}{BetweenTokensMsP50,15:F2} / {BetweenTokensMsP99,-10:F2}{CpuMicrosecondsPerToken,14:F0}{BytesPerToken,15:F0}");
    }
}

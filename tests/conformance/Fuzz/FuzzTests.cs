using System.Collections.Concurrent;
using System.Globalization;
using Granary.Silo.Gateway;
using Granary.Tests.Conformance.Support;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Xunit.Abstractions;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>Ten thousand requests that nobody should send.</summary>
/// <remarks>
/// A request follows from the seed and its index alone. <c>GRANARY_FUZZ_SEED</c> sets another seed;
/// with <c>GRANARY_FUZZ_INDEX</c> that one request is sent and nothing else.
/// </remarks>
public sealed class FuzzTests(ITestOutputHelper output)
{
    private const int Count = 10_000;
    private const int PerRound = 1000;
    private const int AtOnce = 4;
    private const int MostShown = 10;

    /// <summary>A leak of half a kilobyte a request would reach it.</summary>
    private const long MostGrowth = 4 << 20;

    /// <summary>Large arrays are buffers that the runtime keeps for reuse, by size and thread: their number is bounded, but it takes long to reach.</summary>
    private const long MostGrowthOfLarge = 24 << 20;

    /// <summary>The longest valid answer takes less than a second here.</summary>
    private static readonly TimeSpan HangBound = TimeSpan.FromSeconds(30);

    private static readonly Dictionary<string, string?> Settings = new()
    {
        ["Granary:Gateway:ApiKeys:0"] = FuzzCorpus.Key,
        ["Granary:ContextLength"] = "256",
        ["Granary:KvBlocks"] = "48", // Three whole contexts: sequences are preempted now and then.
        ["Granary:Responses:MemoryBytes"] = "65536", // Full early, so that memory is flat from then on.
        ["Granary:Gateway:MaxBodyBytes"] = "65536", // So that the buffers that the runtime keeps for reuse stay small.
    };

    private static int Seed => Setting("GRANARY_FUZZ_SEED") ?? 20_261;

    [Fact]
    public async Task EveryRequest_IsAnsweredOrRefused_AndLeavesNothing()
    {
        using var errors = new ErrorLog();
        await using var silo = await RunningSilo.StartAsync(Settings, services => services.AddSingleton<ILoggerProvider>(errors));
        silo.Http.DefaultRequestHeaders.Authorization = new("Bearer", FuzzCorpus.Key);
        AssertEveryRouteIsAsked(silo);
        output.WriteLine($"seed {Seed}");
        var failures = new ConcurrentQueue<string>();
        if (Setting("GRANARY_FUZZ_INDEX") is { } only)
        {
            await SendAsync(silo, only, failures, show: true);
            Assert.True(failures.IsEmpty, string.Join("\n\n", failures));
            Assert.Empty(errors.Messages);
            return;
        }

        await FillWordCacheAsync(silo);
        var settled = default(Heap);
        var statuses = new ConcurrentDictionary<int, int>();
        for (var round = 0; round < Count / PerRound; round++)
        {
            await Parallel.ForEachAsync(
                Enumerable.Range(round * PerRound, PerRound),
                new ParallelOptions { MaxDegreeOfParallelism = AtOnce },
                async (index, _) => statuses.AddOrUpdate(await SendAsync(silo, index, failures, show: false), 1, (_, count) => count + 1));
            await WaitUntilEmptyAsync(silo);
            if (round == 1) settled = Heap.Measure();
        }

        var heap = Heap.Measure();
        var (growth, ofLarge) = (heap.Small - settled.Small, heap.Large - settled.Large);
        output.WriteLine($"answers by status, 0 for none: {string.Join(", ", statuses.OrderBy(s => s.Key).Select(s => $"{s.Key}: {s.Value}"))}; heap {growth / 1024} KiB and {ofLarge / 1024} KiB of large arrays more than after {2 * PerRound}");
        Assert.True(failures.IsEmpty, $"{failures.Count} of {Count} requests of seed {Seed} failed:\n\n{string.Join("\n\n", failures.Take(MostShown))}");
        Assert.Empty(errors.Messages);
        Assert.True(growth < MostGrowth, $"The managed heap grew by {growth} bytes from request {2 * PerRound} to {Count}; at most {MostGrowth}.");
        Assert.True(ofLarge < MostGrowthOfLarge, $"Large arrays grew by {ofLarge} bytes from request {2 * PerRound} to {Count}; at most {MostGrowthOfLarge}.");
        Assert.True(statuses.GetValueOrDefault(200) > Count / 10 && statuses.GetValueOrDefault(400) > Count / 10, "mutations neither break everything nor nothing");
        var answer = await silo.Http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?", ("temperature", 0)));
        Assert.Contains("Paris", (string)answer["choices"]![0]!["message"]!["content"]!);
    }

    /// <summary>The request of an index is the same each time: what failed once can be sent again.</summary>
    [Fact]
    public void Request_FollowsFromSeedAndIndex()
    {
        for (var index = 0; index < 200; index++)
            Assert.Equal(FuzzCorpus.Create(Seed, index).ToBytes(), FuzzCorpus.Create(Seed, index).ToBytes());
        Assert.NotEqual(FuzzCorpus.Create(1, 5).ToBytes(), FuzzCorpus.Create(2, 5).ToBytes());
    }

    /// <returns>The status; 0 where there was no answer.</returns>
    private async Task<int> SendAsync(RunningSilo silo, int index, ConcurrentQueue<string> failures, bool show)
    {
        var request = FuzzCorpus.Create(Seed, index);
        using var bound = new CancellationTokenSource(HangBound);
        var answer = WireAnswer.None;
        string? wrong;
        try
        {
            answer = await WireClient.SendAsync(silo.Address, request, bound.Token);
            wrong = Verdict.Of(request, answer);
        }
        catch (OperationCanceledException)
        {
            wrong = $"No answer within {HangBound}.";
        }

        var body = System.Text.Encoding.UTF8.GetString(answer.Body.AsSpan(0, Math.Min(answer.Body.Length, 1000)));
        var shown = $"seed {Seed}, index {index}: {wrong ?? "well"}\n{request.Show()}\n→ {answer.Status} {body}";
        if (show) output.WriteLine(shown);
        if (wrong is not null) failures.Enqueue(shown);
        return answer.Status;
    }

    private static void AssertEveryRouteIsAsked(RunningSilo silo)
    {
        var mapped = silo.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(endpoint => endpoint.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods.Select(method => $"{method} {endpoint.RoutePattern.RawText}"));
        Assert.Equal(mapped.Order(), FuzzCorpus.Entries.Select(entry => $"{entry.Method} {entry.Route}").Distinct().Order());
    }

    /// <summary>The tokenizer remembers words up to a bound: it is at the bound before memory is measured.</summary>
    private static async Task FillWordCacheAsync(RunningSilo silo)
    {
        var random = new Random(Seed);
        for (var request = 0; request < 64; request++)
        {
            var words = string.Join(' ', Enumerable.Range(0, 1900).Select(_ => string.Concat(Enumerable.Range(0, 31).Select(_ => (char)random.Next('a', 'z' + 1)))));
            using var response = await silo.Http.SendAsync(Api.Completions, Api.CompletionBody(words));
            Assert.Equal("context_length_exceeded", (string?)(await Api.ErrorAsync(response, System.Net.HttpStatusCode.BadRequest))["code"]);
        }
    }

    private static async Task WaitUntilEmptyAsync(RunningSilo silo)
    {
        await silo.WaitUntilIdleAsync();
        await Poll.UntilAsync(() => silo.Services.GetRequiredService<ConcurrencyLimit>().InProgress == 0, "no request is in progress");
        var scrape = (await silo.Http.GetStringAsync("/metrics")).Split('\n');
        foreach (var name in (string[])["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"])
            Assert.EndsWith(" 0", Assert.Single(scrape, line => line.StartsWith(name + "{", StringComparison.Ordinal)));
    }

    private static int? Setting(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    /// <summary>Bytes of living objects, without the gaps between them.</summary>
    private readonly record struct Heap(long Small, long Large)
    {
        private const int LargeObjects = 3;

        public static Heap Measure()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            var generations = GC.GetGCMemoryInfo(GCKind.FullBlocking).GenerationInfo;
            long all = 0;
            foreach (var generation in generations) all += Living(generation);
            var large = Living(generations[LargeObjects]);
            return new(all - large, large);
        }

        private static long Living(GCGenerationInfo generation) => generation.SizeAfterBytes - generation.FragmentationAfterBytes;
    }
}

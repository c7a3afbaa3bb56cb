using System.Net;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;
using Granary.Client.Cli.Load;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Cli;

/// <summary>What is measured of scripted answers, in a time that the test moves.</summary>
public sealed class LoadRunnerTests
{
    private readonly ManualTime _time = new();

    [Fact]
    public async Task ClosedLoop_TimesTokensFromTheirFrames()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Events(
            (After(100), ScriptedServer.Chunk("", role: true)),
            (After(50), ScriptedServer.Chunk("a")),
            (After(10), ScriptedServer.Chunk("b")),
            (After(30), ScriptedServer.Chunk("c")),
            (After(5), ScriptedServer.Chunk(null, "length")),
            (null, ScriptedServer.Usage(12, 4, 3)),
            (After(5), "[DONE]"))));
        var result = await RunAsync(Settings() with { Requests = 3, Rows = true, ApiKey = "secret" }, server);

        Assert.Equal((3, 0, false), (result.Succeeded, result.Failed, result.Interrupted));
        Assert.Equal(TimeSpan.FromMilliseconds(600), result.Elapsed);
        Assert.Equal((36, 12, 9, 9), (result.PromptTokens, result.CachedTokens, result.CompletionTokens, result.Frames));
        Assert.Equal((0.15, 0.15), (result.FirstToken.Min, result.FirstToken.Max));
        Assert.Equal((0.01, 0.03, 6), (result.InterToken.Min, result.InterToken.Max, result.InterToken.Count));
        Assert.Equal((0.2, 0.2), (result.EndToEnd.Min, result.EndToEnd.Max));
        Assert.Equal((0, 5), (result.SentAfter.Max, result.RequestsPerSecond), (left, right) => left.Item1 == right.Item1 && Math.Abs(left.Item2 - right.Item2) < 1e-9);
        Assert.Equal([0, 200, 400], result.Rows.Select(row => row.Due.TotalMilliseconds));
        Assert.Equal(TimeSpan.FromMilliseconds(20), result.Rows.First().MeanInterToken);
        Assert.All(server.Requests, request => Assert.Equal(("/v1/chat/completions", "Bearer secret"), (request.Path, request.Authorization)));
    }

    [Fact]
    public async Task Requests_AskForWhatTheSettingsSay()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(Answer()));
        var settings = Settings() with { Requests = 1, PromptTokens = new(5, 5), OutputTokens = new(9, 9), Temperature = 0.5, IgnoreEos = true };
        await RunAsync(settings, server);
        await RunAsync(settings with { Endpoint = LoadEndpoint.Completions, Url = new Uri("http://h:1/base/v1/"), Temperature = null, IgnoreEos = false }, server);
        var text = new PromptSource(settings).Create(0, warmup: false).Text;
        Assert.Equal(
            $$$"""{"model":"toy","messages":[{"role":"user","content":"{{{text}}}"}],"max_tokens":9,"temperature":0.5,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}""",
            server.Requests[0].Body!.ToJsonString());
        Assert.Equal(
            $$$"""{"model":"toy","prompt":"{{{text}}}","max_tokens":9,"stream":true,"stream_options":{"include_usage":true}}""", server.Requests[1].Body!.ToJsonString());
        Assert.Equal(("/base/v1/completions", null), (server.Requests[1].Path, server.Requests[1].Authorization));
    }

    /// <summary>A server that stalls for a second is charged for each request that was due meanwhile, though none could be sent.</summary>
    [Fact]
    public async Task OpenLoop_CountsFromWhenARequestWasDue()
    {
        var answers = Enumerable.Range(0, 3).Select(_ => new TaskCompletionSource<HttpResponseMessage>(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        var came = Enumerable.Range(0, 3).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        var server = new ScriptedServer((request, _) =>
        {
            came[request.Number].SetResult();
            return answers[request.Number].Task;
        });
        var settings = Settings() with { Concurrency = null, Rate = 10, Arrivals = Arrivals.Constant, MaxConnections = 1, Requests = 3, Rows = true };
        var running = RunAsync(settings, server);
        await _time.ArmedFor(Ms(100));
        _time.AdvanceTo(Ms(100));
        await came[0].Task;
        await _time.ArmedFor(Ms(200)); // The next arrival is waited for while the first is under way.
        _time.AdvanceTo(Ms(1100));
        answers[0].SetResult(Answer());
        await came[1].Task;
        _time.AdvanceTo(Ms(1150));
        answers[1].SetResult(Answer());
        await came[2].Task;
        _time.AdvanceTo(Ms(1200));
        answers[2].SetResult(Answer());
        var rows = (await running).Rows.ToList();

        Assert.Equal([100, 200, 300], rows.Select(row => row.Due.TotalMilliseconds));
        Assert.Equal([0, 900, 850], rows.Select(row => row.SentAfter.TotalMilliseconds));
        Assert.Equal([1000, 950, 900], rows.Select(row => row.FirstToken!.Value.TotalMilliseconds));
        Assert.Equal([1000, 950, 900], rows.Select(row => row.EndToEnd.TotalMilliseconds));
    }

    [Fact]
    public async Task OpenLoop_SendsWhatIsDueWhileOthersAreUnderWay()
    {
        var both = new TaskCompletionSource<HttpResponseMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
        var came = Enumerable.Range(0, 2).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        var server = new ScriptedServer(async (request, _) =>
        {
            came[request.Number].SetResult();
            await both.Task;
            return Answer();
        });
        var running = RunAsync(Settings() with { Concurrency = null, Rate = 10, Arrivals = Arrivals.Constant, Duration = Ms(250) }, server);
        foreach (var due in (double[])[100, 200])
        {
            await _time.ArmedFor(Ms(due));
            _time.AdvanceTo(Ms(due));
            await came[(int)(due / 100) - 1].Task;
        }

        both.SetResult(Answer());
        var result = await running; // The arrival at 300 ms lies beyond the duration.
        Assert.Equal((2, 0), (result.Succeeded, result.SentAfter.Max));
    }

    [Fact]
    public async Task ClosedLoop_BeginsNothingAfterTheDuration()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(Answer(After(1000))));
        var result = await RunAsync(Settings() with { Duration = Ms(2500) }, server);
        Assert.Equal((3, Ms(3000)), (result.Succeeded, result.Elapsed));
    }

    [Fact]
    public async Task ClosedLoop_KeepsItsNumberUnderWay()
    {
        var (under, most) = (0, 0);
        using var all = new Barrier(4);
        var server = new ScriptedServer((_, cancellationToken) =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref under));
            all.SignalAndWait(cancellationToken); // Four are under way at once, or this never ends.
            Interlocked.Decrement(ref under);
            return Task.FromResult(Answer());
        });
        var result = await RunAsync(Settings() with { Concurrency = 4, Requests = 20 }, server);
        Assert.Equal((20, 4), (result.Succeeded, most));

        static void InterlockedMax(ref int target, int value)
        {
            for (var seen = target; value > seen; seen = Interlocked.CompareExchange(ref target, value, seen))
            {
            }
        }
    }

    [Fact]
    public async Task Warmup_ComesFirstAndIsNotMeasured()
    {
        var server = new ScriptedServer((request, _) => Task.FromResult(Answer(After(request.Number < 2 ? 5000 : 10))));
        var result = await RunAsync(Settings() with { Warmup = 2, Requests = 2, Rows = true }, server);
        Assert.Equal((4, 2, 0.01), (server.Requests.Count, result.Succeeded, result.EndToEnd.Max));
        Assert.Equal(ManualTime.Start + Ms(10_000), result.StartedAt);
        Assert.Equal([0, 1], result.Rows.Select(row => row.Index));
    }

    [Fact]
    public async Task Warmup_ThatNobodyAnswers_EndsTheRun()
    {
        var server = new ScriptedServer((request, _) => Task.FromResult(ScriptedServer.Json("{}", HttpStatusCode.NotFound)));
        var exception = await Assert.ThrowsAsync<CliException>(() => RunAsync(Settings() with { Warmup = 2, Requests = 2 }, server));
        Assert.Equal("No warm-up request was answered: 2 × HTTP 404.", exception.Message);
        Assert.Equal(2, server.Requests.Count);
    }

    [Fact]
    public async Task Failures_AreCountedByKind()
    {
        var server = new ScriptedServer(async (request, cancellationToken) =>
        {
            switch (request.Number)
            {
                case 0: return ScriptedServer.Json("{}", HttpStatusCode.TooManyRequests);
                case 1: throw new HttpRequestException(HttpRequestError.ConnectionError);
                case 2: throw new HttpRequestException(HttpRequestError.ResponseEnded);
                case 3: return ScriptedServer.Events((null, ScriptedServer.Chunk("a")), (null, """{"error":{"message":"x"}}"""), (null, "[DONE]"));
                case 4: return ScriptedServer.Events((null, ScriptedServer.Chunk("a")));
                case 5: return ScriptedServer.Events((null, ScriptedServer.Chunk(null, "stop")), (null, "[DONE]"));
                case 6: return ScriptedServer.Events((null, "nonsense"), (null, "[DONE]"));
                case 7: return ScriptedServer.Events((() => throw new IOException("reset"), ""));
                case 8:
                    _time.Advance(TimeSpan.FromSeconds(30));
                    await Task.Delay(Timeout.Infinite, cancellationToken);
                    throw new InvalidOperationException();
                default: return Answer();
            }
        });
        var result = await RunAsync(Settings() with { Requests = 10, Timeout = TimeSpan.FromSeconds(30) }, server);
        Assert.Equal(1, result.Succeeded);
        Assert.Equal(
            ["HTTP 429 1", "connection lost 2", "error in the stream 1", "frame not valid 1", "no connection 1", "no text 1", "stream cut off 1", "timeout 1"],
            result.Errors.Select(error => $"{error.Key} {error.Value}"));
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Stop_LeavesWhatIsUnderWay_AndKeepsWhatWasMeasured(bool open)
    {
        using var stop = new CancellationTokenSource();
        var server = new ScriptedServer(async (request, cancellationToken) =>
        {
            if (request.Number == 0) return Answer();
            await stop.CancelAsync();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            throw new InvalidOperationException();
        });
        var settings = open ? Settings() with { Concurrency = null, Rate = 1, Arrivals = Arrivals.Constant, MaxConnections = 1 } : Settings();
        var running = RunAsync(settings, server, stop.Token);
        for (var second = 1; open && second <= 2; second++)
        {
            await _time.ArmedFor(TimeSpan.FromSeconds(second));
            _time.AdvanceTo(TimeSpan.FromSeconds(second));
        }

        var result = await running;
        Assert.Equal((1, 0, true, 2), (result.Succeeded, result.Failed, result.Interrupted, server.Requests.Count));
    }

    [Fact]
    public async Task Command_WritesTableJsonAndPlot()
    {
        using var folder = new TemporaryFolder();
        var server = new ScriptedServer((request, _) => Task.FromResult(request.Path == "/v1/models"
            ? ScriptedServer.Json("""{"object":"list","data":[{"id":"toy & co"},{"id":"other"}]}""")
            : Answer(After(20))));
        var run = await CliRun.OfAsync(
            [], context => context with { Http = server, Time = _time, Environment = _ => "secret" },
            "load", "--requests", "5", "--warmup", "1", "--slo-ttft", "25", "--seed", "9", "--rows", "--json", folder["load.json"], "--plot", folder["load.svg"]);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal("toy & co at http://127.0.0.1:8080, chat, closed loop of 1, seed 9", run.Lines[0]);
        Assert.Equal("5 requests in 0.10 s: 5 answered, 0 failed", run.Lines[1]);
        Assert.Contains("goodput (first token ≤ 25 ms): 50.00 requests/s, 100.0 % of all", run.Lines);
        var json = JsonNode.Parse(await File.ReadAllTextAsync(folder["load.json"]))!;
        Assert.Equal((9, "toy & co", 5), ((int)json["settings"]!["seed"]!, (string)json["settings"]!["model"]!, (int)json["requests"]!["succeeded"]!));
        Assert.Equal((20, 20, 5), ((double)json["latency_ms"]!["ttft"]!["p50"]!, (double)json["latency_ms"]!["e2e"]!["max"]!, (int)json["latency_ms"]!["ttft"]!["count"]!));
        Assert.Equal((5, 50), (json["rows"]!.AsArray().Count, (double)json["goodput"]!["per_s"]!));
        Assert.DoesNotContain("secret", json.ToJsonString());
        Assert.All(server.Requests, request => Assert.Equal("Bearer secret", request.Authorization));
        var svg = System.Xml.Linq.XDocument.Parse(await File.ReadAllTextAsync(folder["load.svg"]));
        var texts = svg.Descendants().Where(element => element.Name.LocalName == "text").Select(element => element.Value).ToList();
        Assert.All((string[])["First token", "Inter-token", "End to end", "p99 20.0 ms", "goal", "milliseconds, logarithmic"], text => Assert.Contains(text, texts));
        Assert.Contains(texts, text => text.StartsWith("toy & co, chat", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--concurrency (closed loop) and --rate (open loop) exclude each other.", "--rate", "5", "--concurrency", "3")]
    [InlineData("--rate is '0'; it must be a number from 0.001 to 100000.", "--rate", "0")]
    [InlineData("--arrivals goes with --rate.", "--arrivals", "constant")]
    [InlineData("--max-connections goes with --rate.", "--max-connections", "5")]
    [InlineData("--trace excludes", "--trace", "x", "--prompt-tokens", "5")]
    [InlineData("--prefix-groups and --prefix-tokens go together.", "--prefix-groups", "5")]
    [InlineData("--output-tokens is '9-3'; it must be N or N-M", "--output-tokens", "9-3")]
    [InlineData("--requests is '1e3'; it must be a whole number from 1 to 1000000.", "--requests", "1e3")]
    [InlineData("--rows goes with --json.", "--rows")]
    [InlineData("--url is 'ftp://x'; it must be http", "--url", "ftp://x")]
    [InlineData("Argument 'embeddings' not recognized", "--endpoint", "embeddings")]
    public async Task Command_WrongArguments_AreNamed(string message, params string[] args)
    {
        var run = await CliRun.OfAsync("", ["load", .. args]);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.StartsWith(message, run.Error);
    }

    [Theory]
    [InlineData("--json is '/nowhere/at/all/x.json'; its folder does not exist.", "--json", "/nowhere/at/all/x.json")]
    [InlineData("http://127.0.0.1:8080/v1/models answers 500; name a model with --model.")]
    [InlineData("No warm-up request was answered: 10 × HTTP 500.", "--model", "toy")]
    public async Task Command_ThatCannotRun_SaysWhy(string message, params string[] args)
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Json("{}", HttpStatusCode.InternalServerError)));
        var run = await CliRun.OfAsync([], context => context with { Http = server }, ["load", .. args]);
        Assert.Equal((1, "", message), (run.ExitCode, run.Output, run.Error.TrimEnd()));
    }

    [Fact]
    public async Task Command_NothingAnswered_FailsWithTheTable()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Json("{}", HttpStatusCode.TooManyRequests)));
        var run = await CliRun.OfAsync([], context => context with { Http = server }, "load", "--model", "toy", "--warmup", "0", "--requests", "3");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("  3 × HTTP 429", run.Lines);
    }

    private static LoadSettings Settings() => LoadArithmeticTests.Settings();

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    private Action After(double milliseconds) => () => _time.Advance(Ms(milliseconds));

    private static HttpResponseMessage Answer(Action? before = null) => ScriptedServer.Events((before, ScriptedServer.Chunk("a")), (null, "[DONE]"));

    private async Task<LoadResult> RunAsync(LoadSettings settings, ScriptedServer server, CancellationToken stop = default)
    {
        using var http = new HttpMessageInvoker(server);
        return await new LoadRunner(settings, http, _time).RunAsync(null, stop);
    }
}

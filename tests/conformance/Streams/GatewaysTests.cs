using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Responses;
using Granary.Tests.Conformance.Sessions;
using Granary.Tests.Conformance.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Granary.Tests.Conformance.Streams;

/// <summary>Two gateways of one cluster, a real model, and one of them dies in the middle of a stream.</summary>
public sealed class GatewaysTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(Api.Chat, """{"temperature":0,"stream_options":{"include_usage":true}}""")]
    [InlineData(Api.Chat, """{"temperature":1.1,"seed":7,"n":2,"logprobs":true,"top_logprobs":2,"ignore_eos":true}""")]
    [InlineData(Api.Completions, """{"temperature":1.1,"logprobs":2,"ignore_eos":true,"seed":9}""")]
    [InlineData(ResponsesApi.Path, """{"temperature":1.1}""")]
    public async Task GatewayDies_TheOtherGoesOn_AsIfNothingHadHappened(string path, string fields)
    {
        await using var first = await RunningSilo.StartAsync();
        var second = await StartSecondAsync(first);
        using var http = new HttpClient { BaseAddress = new Uri(second.Urls.Single()), Timeout = Patience };
        var session = SessionsApi.NewId();
        http.DefaultRequestHeaders.Add("x-session-id", session); // The other gateway knows it by the journal alone.
        var body = Body(path, fields);
        List<StreamEvent> had;
        await using (var stream = await EventStream.OpenAsync(http, path, body))
        {
            had = await stream.ReadAsync(path == ResponsesApi.Path ? 6 : 12); // A response may be drawn short: its opening, and two tokens.
            await second.StopAsync(new CancellationToken(canceled: true));
        }

        await second.DisposeAsync();
        var rest = await EventStream.ReadAllAsync(first.Http, path, body, had[^1].Id);

        Assert.Equal(1, (int)(await first.Http.SessionAsync(session))["turns"]!);

        // The first gateway knows the seed that was drawn by the journal alone, so the stream from its beginning is its own measure.
        var whole = await EventStream.ReadAllAsync(first.Http, $"/v1/streams/{had[0].Id!.Split('/')[0]}", null);
        Assert.Equal(Told(whole), Told([.. had, .. rest]));
        if (fields.Contains("\"seed\"", StringComparison.Ordinal) || fields.Contains("\"temperature\":0,", StringComparison.Ordinal))
            Assert.Equal(Texts(await EventStream.ReadAllAsync(first.Http, path, body)), Texts([.. had, .. rest]));
    }

    /// <summary>The SDK's caller notices nothing at all.</summary>
    [Fact]
    public async Task GatewayDies_TheSdkGoesOnAtTheOther()
    {
        await using var first = await RunningSilo.StartAsync();
        var second = await StartSecondAsync(first);
        await using var provider = new ServiceCollection().AddGranaryClient(options =>
        {
            options.Endpoint = new Uri(second.Urls.Single());
            options.OtherEndpoints.Add(first.Address);
        }).BuildServiceProvider();
        var client = provider.GetRequiredService<GranaryClient>();
        var request = new ChatRequest { Messages = [new("user", "Tell me a story.")], Settings = new() { Temperature = 1.1f, Seed = 3, MaxTokens = 150, IgnoreEos = true, TopLogprobs = 1 } };
        var updates = new List<GenerationUpdate>();

        await foreach (var update in client.ChatAsync(request))
        {
            updates.Add(update);
            if (updates.Count == 10) await second.StopAsync(new CancellationToken(canceled: true));
        }

        await second.DisposeAsync();
        var whole = new List<GenerationUpdate>();
        await foreach (var update in client.ChatAsync(request)) whole.Add(update);
        Assert.Equal(150, updates.Sum(update => update.Logprobs.Count));
        Assert.Equal(string.Concat(whole.Select(update => update.Text)), string.Concat(updates.Select(update => update.Text)));
        Assert.Equal(whole.SelectMany(update => update.Logprobs).Select(token => token.Logprob), updates.SelectMany(update => update.Logprobs).Select(token => token.Logprob));
        Assert.Equal("length", Assert.Single(updates, update => update.FinishReason is not null).FinishReason);
        Assert.Equal(150, updates[^1].Usage!.CompletionTokens);
        Assert.Single(updates.Select(update => update.ResponseId).Distinct());
    }

    private static async Task<WebApplication> StartSecondAsync(RunningSilo first)
    {
        var options = first.Services.GetRequiredService<Microsoft.Extensions.Options.IOptions<GranaryOptions>>().Value;
        var settings = new Dictionary<string, string?>
        {
            ["Granary:CacheDirectory"] = options.CacheDirectory,
            ["Granary:Threads"] = "1",
            ["Granary:KvBlocks"] = "512",
            ["Granary:Streams:BeginMilliseconds"] = "10000",
            ["Granary:Cluster:ClusterId"] = options.Cluster.ClusterId,
        };
        var place = new SiloPlace(first.Services.GetRequiredService<SiloGroup>(), 1);
        // It serves what the first has deployed.
        var app = WebHost.Build(settings, ["http://127.0.0.1:0"], LogLevel.Warning, services => services.AddSingleton<ModelDeployment>(), place);
        await app.StartAsync();
        var catalog = app.Services.GetRequiredService<ModelCatalog>();
        var context = first.Services.GetRequiredService<ModelCatalog>().FindOpen(Api.Model)!.ContextLength;
        catalog.Open(await catalog.GetServedAsync(Api.Model), context);
        return app;
    }

    private static JsonObject Body(string path, string fields)
    {
        var body = path switch
        {
            Api.Chat => Api.ChatBody("Tell me a story.", ("max_tokens", 150)),
            Api.Completions => Api.CompletionBody("Once upon a time", ("max_tokens", 150)),
            _ => ResponsesApi.Body("Tell me a story.", ("max_output_tokens", 150)),
        };
        body["stream"] = true;
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();
        return body;
    }

    /// <summary>All that a client is told, by choice where there are several.</summary>
    private static string Told(List<StreamEvent> events)
    {
        var byChoice = EventStream.ByChoice(events);
        if (byChoice.Count > 0) return string.Join('\n', byChoice.OrderBy(choice => choice.Key).Select(choice => choice.Value));
        // The end of a response tells when it was completed.
        return string.Join('\n', events.SkipLast(1).Select(entry => entry.Data)) + (string)events[^1].ToJson()["response"]!["output"]!.ToJsonString();
    }

    private static string Texts(List<StreamEvent> events) => string.Join('\n', Enumerable.Range(0, 2).Select(choice =>
        string.Concat(Api.Choices(events.Where(entry => !entry.IsEnd).Select(entry => entry.ToJson()), choice).Select(c => (string?)(c["delta"]?["content"] ?? c["text"]) ?? ""))));
}

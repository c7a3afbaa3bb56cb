using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.GrainInterfaces.Errors;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using Orleans;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The SDK against a real silo: over grains and over HTTP it gives the same updates, the same answers and the same errors.</summary>
[Collection(SiloTests.Name)]
public sealed class SdkTests : IAsyncLifetime
{
    private readonly ServiceProvider _grains;
    private readonly ServiceProvider _http;

    public SdkTests(SiloFixture fixture)
    {
        _grains = new ServiceCollection().AddLogging().AddSingleton(fixture.Silo.Services.GetRequiredService<IGrainFactory>()).AddGranaryClient().BuildServiceProvider();
        _http = new ServiceCollection().AddGranaryClient(options => options.Endpoint = fixture.Silo.Address).BuildServiceProvider();
    }

    private static ChatRequest Question { get; } = new() { Messages = [new("user", "What is the capital of France?")] };

    public static TheoryData<string, ChatRequest> Chats() => new()
    {
        { "greedy", Question with { Settings = new() { Temperature = 0, MaxTokens = 24 } } },
        { "sampled, with log-probabilities", Question with { Settings = new() { Temperature = 1.2f, Seed = 5, TopLogprobs = 3, MaxTokens = 24, IgnoreEos = true } } },
        { "stop string", Question with { Settings = new() { Temperature = 0, Stops = ["Par"] } } },
        { "three choices", Question with { Settings = new() { Choices = 3, Temperature = 1.5f, Seed = 8, MaxTokens = 12, IgnoreEos = true } } },
        {
            "every setting", Question with
            {
                Model = Api.Model,
                Messages = [new("developer", "Be brief."), new("user", "Hi") { Name = "Ann" }, new("assistant", "Hello."), new("user", "Count.")],
                Settings = new()
                {
                    MaxTokens = 20, MinTokens = 10, Temperature = 0.9f, TopP = 0.9f, TopK = 50, MinP = 0.01f, RepetitionPenalty = 1.1f, PresencePenalty = 0.5f,
                    FrequencyPenalty = 0.5f, Seed = -1, LogitBias = new Dictionary<int, float> { [20] = 5 }, StopTokenIds = [30], SessionId = "talk",
                },
            }
        },
    };

    [Theory, MemberData(nameof(Chats))]
    public async Task Chats_AreTheSame(string name, ChatRequest request)
    {
        Assert.NotEmpty(name);
        AssertSame(await ReadAsync(_grains, client => client.ChatAsync(Apart(request))), await ReadAsync(_http, client => client.ChatAsync(Apart(request))));
    }

    [Fact]
    public async Task Completions_AreTheSame()
    {
        var request = new CompletionRequest { Prompt = "Once upon", Settings = new() { Seed = 4, Temperature = 1, TopLogprobs = 5, Choices = 2 } };
        AssertSame(await ReadAsync(_grains, client => client.CompleteAsync(Apart(request))), await ReadAsync(_http, client => client.CompleteAsync(Apart(request))));
    }

    [Fact]
    public async Task ModelsAndTokens_AreTheSame()
    {
        var (grains, http) = (_grains.GetRequiredService<GranaryClient>(), _http.GetRequiredService<GranaryClient>());
        const string Text = "Où est la gare? 😀<|end|>";

        Assert.Equal(await http.GetModelsAsync(), await grains.GetModelsAsync());
        foreach (var special in (bool[])[true, false])
        {
            var ids = await grains.TokenizeAsync(null, Text, special);
            Assert.Equal(await http.TokenizeAsync(Api.Model, Text, special), ids);
            Assert.Equal(await http.DetokenizeAsync(Api.Model, ids), await grains.DetokenizeAsync(null, ids));
        }
    }

    [Fact]
    public async Task Vectors_AreTheSame()
    {
        var (grains, http) = (_grains.GetRequiredService<GranaryClient>(), _http.GetRequiredService<GranaryClient>());
        var inputs = new EmbeddingRequest { Inputs = ["What is the capital of France?", "Où est la gare? 😀"], Dimensions = 17 };

        var (one, other) = (await grains.EmbedAsync(inputs), await http.EmbedAsync(inputs));
        Assert.Equal((other.Model, other.PromptTokens), (one.Model, one.PromptTokens));
        for (var i = 0; i < 2; i++) Assert.Equal(other.Vectors[i].ToArray(), one.Vectors[i].ToArray());
    }

    public static TheoryData<string, ChatRequest> Refused() => new()
    {
        { "model", Question with { Model = "nobody" } },
        { "room", Question with { Settings = new() { MaxTokens = 1_000_000 } } },
        { "prompt", Question with { Messages = [new("user", string.Concat(Enumerable.Repeat("word ", 20_000)))] } },
        { "temperature", Question with { Settings = new() { Temperature = 3 } } },
        { "stop ids", Question with { Settings = new() { StopTokenIds = [1, 1_000_000] } } },
        { "bias", Question with { Settings = new() { LogitBias = new Dictionary<int, float> { [1_000_000] = 1 } } } },
        { "min tokens", Question with { Settings = new() { MinTokens = 5, MaxTokens = 4 } } },
        { "choices", Question with { Settings = new() { Choices = 33 } } },
    };

    [Theory, MemberData(nameof(Refused))]
    public async Task Refusals_AreTheSame(string name, ChatRequest request)
    {
        Assert.NotEmpty(name);
        var one = await Assert.ThrowsAsync<GranaryRequestException>(() => ReadAsync(_grains, client => client.ChatAsync(request)));
        var other = await Assert.ThrowsAsync<GranaryRequestException>(() => ReadAsync(_http, client => client.ChatAsync(request)));
        Assert.Equal((other.Parameter, other.Code, other.Message), (one.Parameter, one.Code, one.Message));
    }

    [Fact]
    public async Task ExtensionsAI_AnswersAlikeOnBoth()
    {
        var options = new ChatOptions { Temperature = 0, MaxOutputTokens = 24 };
        var answers = new List<ChatResponse>();
        foreach (var provider in (ServiceProvider[])[_grains, _http])
            answers.Add(await provider.GetRequiredService<IChatClient>().GetResponseAsync("What is the capital of France?", options));

        Assert.NotEqual("", answers[0].Text);
        Assert.Equal((answers[1].Text, answers[1].FinishReason, answers[1].ModelId), (answers[0].Text, answers[0].FinishReason, answers[0].ModelId));
        Assert.Equal(answers[1].Usage!.OutputTokenCount, answers[0].Usage!.OutputTokenCount);
    }

    [Fact]
    public void TextFilesThatAreTooLarge_AreRefusedByName()
    {
        var size = new FileInfo(Path.Combine(EmbeddedModel.Folder, "tokenizer.json")).Length;

        var error = Assert.Throws<ModelLoadException>(() => CatalogModelFiles.Read("f", EmbeddedModel.Folder, size));

        Assert.StartsWith("tokenizer_config.json has ", error.Message, StringComparison.Ordinal);
        Assert.EndsWith($"of {size} bytes for all text files, 0 are left.", error.Message, StringComparison.Ordinal);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await _grains.DisposeAsync();
        await _http.DisposeAsync();
    }

    /// <summary>With a cache of its own, so that neither way finds what the other left there.</summary>
    private static ChatRequest Apart(ChatRequest request) => request with { Settings = request.Settings with { CacheSalt = Guid.NewGuid().ToString("N") } };

    private static CompletionRequest Apart(CompletionRequest request) => request with { Settings = request.Settings with { CacheSalt = Guid.NewGuid().ToString("N") } };

    private static async Task<List<GenerationUpdate>> ReadAsync(ServiceProvider provider, Func<GranaryClient, IAsyncEnumerable<GenerationUpdate>> call)
    {
        var updates = new List<GenerationUpdate>();
        await foreach (var update in call(provider.GetRequiredService<GranaryClient>())) updates.Add(update);
        return updates;
    }

    /// <summary>Update by update within each choice; how choices interleave is nobody's promise.</summary>
    private static void AssertSame(List<GenerationUpdate> one, List<GenerationUpdate> other)
    {
        Assert.Equal(Show(other), Show(one));
        Assert.Equal(other[^1].Usage, one[^1].Usage);
        Assert.NotNull(one[^1].Usage);
    }

    private static string Show(List<GenerationUpdate> updates) => string.Join('\n', updates.Where(update => update.Usage is null).OrderBy(update => update.Choice)
        .Select(update => new JsonObject
        {
            ["choice"] = update.Choice,
            ["model"] = update.Model,
            ["text"] = update.Text,
            ["end"] = update.FinishReason,
            ["logprobs"] = JsonSerializer.SerializeToNode(update.Logprobs.Select(
                logprob => (object)new object[] { logprob.Token, logprob.Logprob, logprob.Top.Select(top => new object[] { top.Token, top.Logprob }) })),
        }.ToJsonString()));
}

using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>What of the prompt comes back with an answer: text, log-probabilities, ids.</summary>
[Collection(ScriptedTests.Name)]
public sealed class EchoTests(ScriptedSilo scripted)
{
    private const string Prompt = "Once upon a time";
    private readonly HttpClient _http = scripted.Http;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Echo_BeginsWithThePrompt(bool stream)
    {
        Answer((100, -1), (101, -2));
        var plain = await TextAsync(Api.CompletionBody(Prompt, ("max_tokens", 2)), stream);
        var echoed = await TextAsync(Api.CompletionBody(Prompt, ("max_tokens", 2), ("echo", true)), stream);

        Assert.Equal(Prompt + plain, echoed);
        Assert.All(scripted.Client.TakeRequests(), request => Assert.Null(request.PromptLogprobs));
    }

    [Fact]
    public async Task Echo_OfTokenIds_IsTheirText()
    {
        Answer((100, -1));
        var ids = await TokenizeAsync("<|im_start|>user\nHi");

        var text = await TextAsync(Api.CompletionBody(new JsonArray([.. ids.Select(id => (JsonNode)id)]), ("max_tokens", 1), ("echo", true)), stream: false);

        Assert.StartsWith("<|im_start|>user\nHi", text);
    }

    [Theory]
    [InlineData(false, 2)]
    [InlineData(true, 2)]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    public async Task EchoWithLogprobs_TellsThoseOfThePrompt(bool stream, int maxTokens)
    {
        Answer([.. new (int, float)[] { (100, -1), (101, -2) }.Take(maxTokens)]);
        var body = Api.CompletionBody(Prompt, ("max_tokens", maxTokens), ("echo", true), ("logprobs", 1));
        var ids = await TokenizeAsync(Prompt);

        var choices = stream
            ? Api.Choices(await _http.StreamAsync(Api.Completions, body)).ToList()
            : [(await _http.AskAsync(Api.Completions, body))["choices"]![0]!];

        var request = Assert.Single(scripted.Client.TakeRequests());
        Assert.Equal((1, maxTokens), (request.PromptLogprobs, request.Sampling.MaxTokens));
        var text = string.Concat(choices.Select(choice => (string)choice["text"]!));
        var tokens = All("tokens").Select(token => (string)token!).ToArray();
        Assert.StartsWith(Prompt, text);
        Assert.Equal(text, string.Concat(tokens));
        Assert.Equal(ids.Length + maxTokens, tokens.Length);
        var logprobs = All("token_logprobs");
        Assert.Equal(tokens.Length, logprobs.Length);
        Assert.Null(logprobs[0]);
        Assert.Equal(-ids[1] / 100f, (float)logprobs[1]!);
        var top = All("top_logprobs");
        Assert.Equal(tokens.Length, top.Length);
        Assert.Null(top[0]);
        Assert.All(top.Skip(1), entry => Assert.Single(entry!.AsObject()));
        var offset = 0;
        foreach (var (at, token) in All("text_offset").Zip(tokens))
        {
            Assert.Equal(offset, (int)at!);
            offset += token.Length;
        }

        Assert.Equal("length", (string?)choices[^1]["finish_reason"]);

        JsonNode?[] All(string name) => [.. choices.SelectMany(choice => choice["logprobs"]?[name]?.AsArray() ?? [])];
    }

    /// <summary>A request for no tokens asks nobody.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task NoTokens_AreAnsweredAtOnce(bool stream)
    {
        scripted.Client.TakeRequests();
        Assert.Equal(Prompt, await TextAsync(Api.CompletionBody(Prompt, ("max_tokens", 0), ("echo", true)), stream));
        Assert.Equal("", await TextAsync(Api.CompletionBody(Prompt, ("max_tokens", 0)), stream));
        var chat = await _http.AskAsync(Api.Chat, Api.ChatBody("Hi", ("max_tokens", 0)));

        Assert.Equal("", (string)chat["choices"]![0]!["message"]!["content"]!);
        Assert.Equal("length", (string)chat["choices"]![0]!["finish_reason"]!);
        Assert.Equal(0, (int)chat["usage"]!["completion_tokens"]!);
        Assert.Empty(scripted.Client.TakeRequests());
    }

    [Fact]
    public async Task TokenIds_AreTold()
    {
        Answer((100, -1), (101, -2), (102, -3));
        var ids = await TokenizeAsync(Prompt);

        var completion = await _http.AskAsync(Api.Completions, Api.CompletionBody(Prompt, ("return_token_ids", true)));
        var frames = await _http.StreamAsync(Api.Completions, Api.CompletionBody(Prompt, ("return_token_ids", true)));
        var chat = await _http.AskAsync(Api.Chat, Api.ChatBody("Hi", ("return_token_ids", true)));
        var chatFrames = await _http.StreamAsync(Api.Chat, Api.ChatBody("Hi", ("return_token_ids", true)));

        Assert.Equal(ids, Ids(completion["choices"]![0]!["prompt_token_ids"]));
        Assert.Equal([100, 101, 102], Ids(completion["choices"]![0]!["token_ids"]));
        Assert.Equal(ids, Ids(frames[0]["choices"]![0]!["prompt_token_ids"]));
        Assert.Equal([100, 101, 102], Api.Choices(frames).SelectMany(choice => Ids(choice["token_ids"])));
        Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, Ids(chat["prompt_token_ids"]).Length);
        Assert.Equal([100, 101, 102], Ids(chat["choices"]![0]!["token_ids"]));
        Assert.Equal(Ids(chat["prompt_token_ids"]), Ids(chatFrames[0]["prompt_token_ids"]));
        Assert.Equal([100, 101, 102], Api.Choices(chatFrames).SelectMany(choice => Ids(choice["token_ids"])));

        static int[] Ids(JsonNode? list) => [.. (list?.AsArray() ?? []).Select(id => (int)id!)];
    }

    private void Answer(params (int, float)[] tokens)
    {
        scripted.Client.TakeRequests();
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Length, tokens);
    }

    private async Task<int[]> TokenizeAsync(string text) =>
        [.. (await _http.AskAsync("/tokenize", new JsonObject { ["prompt"] = text }))["tokens"]!.AsArray().Select(id => (int)id!)];

    private async Task<string> TextAsync(JsonObject body, bool stream) => stream
        ? Api.CompletionText(await _http.StreamAsync(Api.Completions, body))
        : (string)(await _http.AskAsync(Api.Completions, body))["choices"]![0]!["text"]!;
}

using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>The completion endpoint's answers, whole and streamed.</summary>
[Collection(SiloTests.Name)]
public sealed class CompletionTests(SiloFixture fixture)
{
    private const string Prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    private readonly HttpClient _http = fixture.Http;

    [Fact]
    public async Task Whole_HasOpenAiShape_AndChatsText()
    {
        var answer = await _http.AskAsync(Api.Completions, Api.CompletionBody(Prompt, ("max_tokens", 40)));
        var chat = await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?", ("max_tokens", 40)));

        Assert.StartsWith("cmpl-", (string)answer["id"]!);
        Assert.Equal("text_completion", (string)answer["object"]!);
        var choice = Assert.Single(answer["choices"]!.AsArray())!;
        Assert.Equal((string)chat["choices"]![0]!["message"]!["content"]!, (string)choice["text"]!);
        Assert.Equal("stop", (string)choice["finish_reason"]!);
        Assert.Null(choice["logprobs"]);
        Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["prompt_tokens"]!);
    }

    [Fact]
    public async Task MaxTokens_DefaultsToSixteen()
    {
        var answer = await _http.AskAsync(Api.Completions, Api.CompletionBody("Once", ("ignore_eos", true)));

        Assert.Equal(16, (int)answer["usage"]!["completion_tokens"]!);
        Assert.Equal("length", (string)answer["choices"]![0]!["finish_reason"]!);
    }

    [Fact]
    public async Task StreamedText_EqualsWholeText()
    {
        var body = Api.CompletionBody("Once upon a time", ("max_tokens", 50), ("temperature", 0.9), ("seed", 5), ("ignore_eos", true));

        var whole = await _http.AskAsync(Api.Completions, body);
        var frames = await _http.StreamAsync(Api.Completions, body);

        Assert.Equal((string)whole["choices"]![0]!["text"]!, Api.CompletionText(frames));
        Assert.All(frames.SkipLast(1), frame => Assert.Null(frame["choices"]![0]!["finish_reason"]));
        Assert.Equal("length", (string)frames[^1]["choices"]![0]!["finish_reason"]!);
    }

    [Fact]
    public async Task ListOfPrompts_AnswersEach()
    {
        var body = Api.CompletionBody(new JsonArray("One", "Two two", "Three three three"), ("max_tokens", 8), ("n", 2), ("temperature", 1), ("seed", 3));

        var whole = await _http.AskAsync(Api.Completions, body);
        var frames = await _http.StreamAsync(Api.Completions, body);

        Assert.Equal(Enumerable.Range(0, 6), whole["choices"]!.AsArray().Select(c => (int)c!["index"]!));
        var promptTokens = 0;
        for (var i = 0; i < 3; i++)
        {
            var single = (JsonObject)body.DeepClone();
            single["prompt"] = (string)body["prompt"]![i]!;
            var alone = await _http.AskAsync(Api.Completions, single);
            promptTokens += (int)alone["usage"]!["prompt_tokens"]!;
            for (var k = 0; k < 2; k++)
            {
                Assert.Equal((string)alone["choices"]![k]!["text"]!, (string)whole["choices"]![i * 2 + k]!["text"]!);
                Assert.Equal((string)alone["choices"]![k]!["text"]!, Api.CompletionText(frames, i * 2 + k));
            }
        }

        Assert.Equal(promptTokens, (int)whole["usage"]!["prompt_tokens"]!);
    }

    [Fact]
    public async Task TokenIds_AreTakenAsTheyAre()
    {
        var ids = new JsonArray(1, 2, 3);

        var one = await _http.AskAsync(Api.Completions, Api.CompletionBody(ids.DeepClone(), ("max_tokens", 4)));
        var two = await _http.AskAsync(Api.Completions, Api.CompletionBody(new JsonArray(ids.DeepClone(), new JsonArray(4, 5)), ("max_tokens", 4)));

        Assert.Equal(3, (int)one["usage"]!["prompt_tokens"]!);
        Assert.Equal(5, (int)two["usage"]!["prompt_tokens"]!);
        Assert.Equal((string)one["choices"]![0]!["text"]!, (string)two["choices"]![0]!["text"]!);
    }

    [Fact]
    public async Task Logprobs_HaveTheOldShape()
    {
        var answer = await _http.AskAsync(Api.Completions, Api.CompletionBody(Prompt, ("max_tokens", 4), ("logprobs", 2)));

        var text = (string)answer["choices"]![0]!["text"]!;
        var logprobs = answer["choices"]![0]!["logprobs"]!;
        var tokens = logprobs["tokens"]!.AsArray().Select(t => (string)t!).ToArray();
        Assert.Equal(text, string.Concat(tokens));
        Assert.Equal(tokens.Length, logprobs["token_logprobs"]!.AsArray().Count);
        Assert.All(logprobs["top_logprobs"]!.AsArray(), top => Assert.InRange(top!.AsObject().Count, 1, 2));
        Assert.Equal(0, (int)logprobs["text_offset"]![0]!);
        Assert.Equal(tokens[0].Length, (int)logprobs["text_offset"]![1]!);
    }
}

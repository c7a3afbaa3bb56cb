using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>The chat endpoint's answers, whole and streamed.</summary>
[Collection(SiloTests.Name)]
public sealed class ChatCompletionTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [Fact]
    public async Task Whole_HasOpenAiShape()
    {
        var answer = await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?"));

        Assert.StartsWith("chatcmpl-", (string)answer["id"]!);
        Assert.Equal("chat.completion", (string)answer["object"]!);
        Assert.Equal(Api.Model, (string)answer["model"]!);
        Assert.True((long)answer["created"]! > 0);
        var choice = Assert.Single(answer["choices"]!.AsArray())!;
        Assert.Equal(0, (int)choice["index"]!);
        Assert.Equal("assistant", (string)choice["message"]!["role"]!);
        Assert.Contains("Paris", (string)choice["message"]!["content"]!);
        Assert.Equal("stop", (string)choice["finish_reason"]!);
        var usage = answer["usage"]!;
        Assert.True((int)usage["prompt_tokens"]! > 0);
        Assert.True((int)usage["completion_tokens"]! > 0);
        Assert.Equal((int)usage["prompt_tokens"]! + (int)usage["completion_tokens"]!, (int)usage["total_tokens"]!);
        Assert.InRange((int)usage["prompt_tokens_details"]!["cached_tokens"]!, 0, (int)usage["prompt_tokens"]!);
    }

    [Fact]
    public async Task Stream_BeginsWithRole_EndsWithReasonAndMark()
    {
        var frames = await _http.StreamAsync(Api.Chat, Api.ChatBody("What is the capital of France?"));

        Assert.All(frames, frame =>
        {
            Assert.Equal((string)frames[0]["id"]!, (string)frame["id"]!);
            Assert.Equal("chat.completion.chunk", (string)frame["object"]!);
            Assert.Equal(Api.Model, (string)frame["model"]!);
            Assert.Null(frame["usage"]);
        });
        var first = frames[0]["choices"]![0]!;
        Assert.Equal("assistant", (string)first["delta"]!["role"]!);
        Assert.Equal("", (string)first["delta"]!["content"]!);
        Assert.All(frames.SkipLast(1), frame =>
        {
            Assert.True(frame["choices"]![0]!.AsObject().ContainsKey("finish_reason"));
            Assert.Null(frame["choices"]![0]!["finish_reason"]);
        });
        Assert.All(frames.Skip(1), frame => Assert.False(frame["choices"]![0]!["delta"]!.AsObject().ContainsKey("role")));
        Assert.Equal("stop", (string)frames[^1]["choices"]![0]!["finish_reason"]!);
        Assert.Empty(frames[^1]["choices"]![0]!["delta"]!.AsObject());
    }

    [Theory]
    [InlineData("What is the capital of France?", 0.0)]
    [InlineData("What is the opposite of hot?", 0.0)]
    [InlineData("My name is Zoë – héllo 日本 👩‍👩‍👧. What is my name?", 0.0)]
    [InlineData("Tell me something.", 1.3)]
    public async Task StreamedText_EqualsWholeText(string question, double temperature)
    {
        var body = Api.ChatBody(question, ("temperature", temperature), ("seed", 42), ("max_tokens", 60));

        var whole = await _http.AskAsync(Api.Chat, body);
        var frames = await _http.StreamAsync(Api.Chat, body);

        Assert.Equal((string)whole["choices"]![0]!["message"]!["content"]!, Api.ChatText(frames));
        Assert.Equal((string)whole["choices"]![0]!["finish_reason"]!, (string)frames[^1]["choices"]![0]!["finish_reason"]!);
    }

    [Fact]
    public async Task IncludeUsage_AddsOneFrameWithoutChoices()
    {
        var body = Api.ChatBody("What is the capital of France?", ("stream_options", new JsonObject { ["include_usage"] = true }));

        var frames = await _http.StreamAsync(Api.Chat, body);
        var whole = await _http.AskAsync(Api.Chat, body);

        Assert.Empty(frames[^1]["choices"]!.AsArray());
        Assert.Equal((int)whole["usage"]!["completion_tokens"]!, (int)frames[^1]["usage"]!["completion_tokens"]!);
        Assert.Equal((int)whole["usage"]!["prompt_tokens"]!, (int)frames[^1]["usage"]!["prompt_tokens"]!);
        Assert.All(frames.SkipLast(1), frame =>
        {
            Assert.True(frame.AsObject().ContainsKey("usage"));
            Assert.Null(frame["usage"]);
            Assert.Single(frame["choices"]!.AsArray());
        });
    }

    [Fact]
    public async Task MaxTokens_EndsWithLength()
    {
        var answer = await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?", ("max_tokens", 2)));

        Assert.Equal("length", (string)answer["choices"]![0]!["finish_reason"]!);
        Assert.Equal(2, (int)answer["usage"]!["completion_tokens"]!);
    }

    /// <summary>The text ends before the stop string, wherever it lies in the tokens; usage counts up to the token that completed it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public async Task StopString_CutsTheText(int length)
    {
        var full = (string)(await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?")))["choices"]![0]!["message"]!["content"]!;
        for (var start = 1; start + length <= full.Length; start++)
        {
            var stop = full.Substring(start, length);
            var expected = full[..full.IndexOf(stop, StringComparison.Ordinal)];
            var body = Api.ChatBody("What is the capital of France?", ("stop", new JsonArray("never this", stop)));

            var whole = await _http.AskAsync(Api.Chat, body);
            var frames = await _http.StreamAsync(Api.Chat, body);

            Assert.Equal(expected, (string)whole["choices"]![0]!["message"]!["content"]!);
            Assert.Equal("stop", (string)whole["choices"]![0]!["finish_reason"]!);
            Assert.Equal(expected, Api.ChatText(frames));
        }

        await fixture.Silo.WaitUntilIdleAsync();
    }

    [Fact]
    public async Task WhatEndsAChoice_IsShownWhenAskedFor()
    {
        const string Question = "What is the capital of France?";
        var plain = (string)(await _http.AskAsync(Api.Chat, Api.ChatBody(Question)))["choices"]![0]!["message"]!["content"]!;

        Assert.Equal(plain + "<|im_end|>", await BothAsync(("include_stop_str_in_output", true), ("skip_special_tokens", false)));
        Assert.Equal(plain, await BothAsync(("include_stop_str_in_output", true)));
        Assert.Equal(plain, await BothAsync(("skip_special_tokens", false)));
        Assert.Equal(
            plain[..(plain.IndexOf("Par", StringComparison.Ordinal) + 3)], await BothAsync(("include_stop_str_in_output", true), ("stop", "Par")));

        async Task<string> BothAsync(params (string, JsonNode?)[] fields)
        {
            var body = Api.ChatBody(Question, fields);
            var whole = (string)(await _http.AskAsync(Api.Chat, body))["choices"]![0]!["message"]!["content"]!;
            Assert.Equal(whole, Api.ChatText(await _http.StreamAsync(Api.Chat, body)));
            return whole;
        }
    }

    [Fact]
    public async Task ContentParts_AreTakenAsText()
    {
        var parts = Api.ChatBody("");
        parts["messages"] = JsonNode.Parse("""
            [{"role":"developer","content":"Be brief."},
             {"role":"user","content":[{"type":"text","text":"What is the capital"},{"type":"text","text":"of France?"}]}]
            """);
        var plain = Api.ChatBody("");
        plain["messages"] = JsonNode.Parse("""
            [{"role":"system","content":"Be brief."},{"role":"user","content":"What is the capital\nof France?"}]
            """);

        var a = await _http.AskAsync(Api.Chat, parts);
        var b = await _http.AskAsync(Api.Chat, plain);

        Assert.Equal((string)b["choices"]![0]!["message"]!["content"]!, (string)a["choices"]![0]!["message"]!["content"]!);
        Assert.Equal((int)b["usage"]!["prompt_tokens"]!, (int)a["usage"]!["prompt_tokens"]!);
    }

    [Fact]
    public async Task SeveralChoices_AreIndexedAndDiffer()
    {
        var body = Api.ChatBody("Tell me something.", ("n", 4), ("temperature", 1.5), ("seed", 7), ("max_tokens", 24));

        var whole = await _http.AskAsync(Api.Chat, body);
        var frames = await _http.StreamAsync(Api.Chat, body);

        Assert.Equal([0, 1, 2, 3], whole["choices"]!.AsArray().Select(c => (int)c!["index"]!));
        var texts = whole["choices"]!.AsArray().Select(c => (string)c!["message"]!["content"]!).ToArray();
        Assert.True(texts.Distinct().Count() > 1);
        for (var i = 0; i < 4; i++)
        {
            Assert.Equal(texts[i], Api.ChatText(frames, i));
            Assert.Equal("", (string)Api.Choices(frames, i).First()["delta"]!["content"]!);
            Assert.NotNull(Api.Choices(frames, i).Last()["finish_reason"]);
        }
    }

    [Fact]
    public async Task SameSeed_SameText_OtherSeed_OtherText()
    {
        var one = await AskAsync(1);
        Assert.Equal(one, await AskAsync(1));
        var others = new List<string>();
        for (var seed = 2; seed < 6; seed++) others.Add(await AskAsync(seed));
        Assert.Contains(others, text => text != one);

        async Task<string> AskAsync(long seed) =>
            (string)(await _http.AskAsync(Api.Chat, Api.ChatBody("Tell me something.", ("temperature", 1.5), ("seed", seed), ("max_tokens", 24))))["choices"]![0]!["message"]!["content"]!;
    }

    [Fact]
    public async Task SecondTurn_FindsTheFirstInTheCache()
    {
        var system = string.Join(' ', Enumerable.Range(0, 60).Select(i => $"Rule {i} of this very test."));
        var body = Api.ChatBody("");
        body["messages"] = new JsonArray(
            new JsonObject { ["role"] = "system", ["content"] = system }, new JsonObject { ["role"] = "user", ["content"] = "Hello" });

        var first = await _http.AskAsync(Api.Chat, body);
        var second = await _http.AskAsync(Api.Chat, body);

        Assert.Equal((string)first["choices"]![0]!["message"]!["content"]!, (string)second["choices"]![0]!["message"]!["content"]!);
        Assert.True((int)second["usage"]!["prompt_tokens_details"]!["cached_tokens"]! >= 64, second["usage"]!.ToJsonString());
    }

    [Fact]
    public async Task Logprobs_AreToldPerToken()
    {
        var body = Api.ChatBody("What is the capital of France?", ("logprobs", true), ("top_logprobs", 3));

        var whole = await _http.AskAsync(Api.Chat, body);
        var frames = await _http.StreamAsync(Api.Chat, body);

        var tokens = whole["choices"]![0]!["logprobs"]!["content"]!.AsArray();
        Assert.Equal((string)whole["choices"]![0]!["message"]!["content"]!, string.Concat(tokens.Select(t => (string)t!["token"]!)));
        Assert.All(tokens, token =>
        {
            Assert.True((float)token!["logprob"]! <= 0);
            var top = token["top_logprobs"]!.AsArray();
            Assert.Equal(3, top.Count);
            // Greedy: the chosen token is the likeliest.
            Assert.Equal((float)token["logprob"]!, (float)top[0]!["logprob"]!);
            Assert.Equal((string)token["token"]!, System.Text.Encoding.UTF8.GetString([.. token["bytes"]!.AsArray().Select(b => (byte)b!)]));
        });
        var streamed = frames.SelectMany(f => f["choices"]![0]!["logprobs"]?["content"]?.AsArray() ?? []).Select(t => (string)t!["token"]!);
        Assert.Equal(tokens.Select(t => (string)t!["token"]!), streamed);
    }

    [Fact]
    public async Task LogitBiasAndStopTokenIds_AreApplied()
    {
        var greedy = await _http.AskAsync(Api.Chat, Api.ChatBody("What is the capital of France?", ("logprobs", true), ("top_logprobs", 0)));
        var forced = await _http.AskAsync(Api.Chat, Api.ChatBody(
            "What is the capital of France?", ("logit_bias", new JsonObject { ["100"] = 100 }), ("max_tokens", 3)));
        var stopped = await _http.AskAsync(Api.Chat, Api.ChatBody(
            "What is the capital of France?", ("logit_bias", new JsonObject { ["100"] = 100 }), ("stop_token_ids", new JsonArray(100))));

        Assert.NotEqual((string)greedy["choices"]![0]!["message"]!["content"]!, (string)forced["choices"]![0]!["message"]!["content"]!);
        Assert.Equal("stop", (string)stopped["choices"]![0]!["finish_reason"]!);
        Assert.Equal("", (string)stopped["choices"]![0]!["message"]!["content"]!);
        Assert.Equal(1, (int)stopped["usage"]!["completion_tokens"]!);
    }

    [Fact]
    public async Task UnknownFieldsAndNulls_AreTolerated()
    {
        var body = Api.ChatBody(
            "What is the capital of France?", ("user", "u"), ("store", true), ("metadata", new JsonObject()), ("temperature", null), ("stop", null),
            ("stream_options", new JsonObject { ["include_usage"] = true, ["include_obfuscation"] = true }), ("seed", -9007199254740991), ("tools", new JsonArray()),
            ("response_format", new JsonObject { ["type"] = "text" }));

        var answer = await _http.AskAsync(Api.Chat, body);

        Assert.Contains("Paris", (string)answer["choices"]![0]!["message"]!["content"]!);
    }

    [Fact]
    public async Task RequestId_IsGivenBack_OrMade()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        request.Headers.Add("x-request-id", "abc-123");
        using var given = await _http.SendAsync(request);
        using var made = await _http.GetAsync("/v1/models");

        Assert.Equal("abc-123", given.Headers.GetValues("x-request-id").Single());
        Assert.NotEqual("", made.Headers.GetValues("x-request-id").Single());
    }

    [Fact]
    public async Task Models_ListAndGet()
    {
        var list = JsonNode.Parse(await _http.GetStringAsync("/v1/models"))!;
        var one = JsonNode.Parse(await _http.GetStringAsync($"/v1/models/{Api.Model}"))!;

        Assert.Equal("list", (string)list["object"]!);
        Assert.Equal(list["data"]![0]!.ToJsonString(), one.ToJsonString());
        Assert.Equal("model", (string)one["object"]!);
        Assert.Equal(JsonValueKind.Number, one["created"]!.GetValueKind());
        Assert.Equal(1024, (int)one["max_model_len"]!);
    }
}

using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>How a request's choices are asked for, chosen and counted.</summary>
[Collection(ScriptedTests.Name)]
public sealed class ChoiceTests(ScriptedSilo scripted)
{
    private readonly HttpClient _http = scripted.Http;

    [Fact]
    public async Task ChoicesOfAPrompt_AreOneGroup()
    {
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Length, (100, -1));
        scripted.Client.TakeRequests();

        await _http.AskAsync(Api.Completions, Api.CompletionBody(new JsonArray("One", "Two two"), ("n", 3)));
        var several = scripted.Client.TakeRequests();
        await _http.AskAsync(Api.Completions, Api.CompletionBody("One"));
        var single = Assert.Single(scripted.Client.TakeRequests());

        Assert.Equal(6, several.Length);
        Assert.Equal([0, 1, 2, 0, 1, 2], several.Select(request => request.Choice));
        Assert.Single(several.Take(3).Select(request => request.Group).Distinct());
        Assert.Single(several.Skip(3).Select(request => request.Group).Distinct());
        Assert.NotEqual(several[0].Group, several[3].Group);
        Assert.NotNull(several[0].Group);
        Assert.Equal(6, several.Select(request => request.RequestId).Distinct().Count());
        Assert.Null(single.Group);
    }

    /// <summary>The likeliest per token are sent, not the likeliest as a whole: lengths differ.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task BestOf_SendsTheLikeliestPerToken(bool logprobs)
    {
        scripted.Client.TakeRequests();
        (int, float)[][] choices = [[(100, -3)], [(101, -1), (102, -1), (103, -1), (104, -1)], [(105, -2), (106, -1.5f)], [(107, -9)]];
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Length, choices[request.Choice]);
        var body = Api.CompletionBody("Once", ("n", 2), ("best_of", 4), ("return_token_ids", true));
        if (logprobs) body["logprobs"] = 0;

        var answer = await _http.AskAsync(Api.Completions, body);

        var sent = answer["choices"]!.AsArray();
        Assert.Equal([0, 1], sent.Select(choice => (int)choice!["index"]!));
        Assert.Equal([101, 102, 103, 104], sent[0]!["token_ids"]!.AsArray().Select(id => (int)id!));
        Assert.Equal([105, 106], sent[1]!["token_ids"]!.AsArray().Select(id => (int)id!));
        Assert.All(sent, choice => Assert.Equal(logprobs, choice!["logprobs"] is not null));
        Assert.Equal(8, (int)answer["usage"]!["completion_tokens"]!); // All that were generated.
        var asked = scripted.Client.TakeRequests();
        Assert.Equal(4, asked.Length);
        Assert.All(asked, request => Assert.Equal(0, request.Sampling.TopLogprobs));
    }

    [Theory]
    [InlineData(FinishReason.Stop)]
    [InlineData(FinishReason.Length)]
    public async Task ContinuousUsage_GrowsWithEveryFrame(FinishReason reason)
    {
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, reason, (100, -1), (101, -1), (102, -1));
        foreach (var path in (string[])[Api.Chat, Api.Completions])
        {
            var body = path == Api.Chat ? Api.ChatBody("Hi") : Api.CompletionBody("Hi");
            body["stream_options"] = new JsonObject { ["include_usage"] = true, ["continuous_usage_stats"] = true };
            var frames = await _http.StreamAsync(path, body);

            var counts = frames.SkipLast(1).Select(frame => (int)frame["usage"]!["completion_tokens"]!).ToArray();
            Assert.Equal(path == Api.Chat ? [0, 1, 2, 3] : [1, 2, 3], counts);
            Assert.Empty(frames[^1]["choices"]!.AsArray());
            Assert.Equal(3, (int)frames[^1]["usage"]!["completion_tokens"]!);
            Assert.Equal(reason == FinishReason.Stop ? "stop" : "length", (string?)frames[^2]["choices"]![0]!["finish_reason"]);
            Assert.All(frames, frame =>
            {
                Assert.Equal((int)frames[^1]["usage"]!["prompt_tokens"]!, (int)frame["usage"]!["prompt_tokens"]!);
                Assert.Equal((int)frame["usage"]!["prompt_tokens"]! + (int)frame["usage"]!["completion_tokens"]!, (int)frame["usage"]!["total_tokens"]!);
            });
            var whole = await _http.AskAsync(path, body);
            var text = path == Api.Chat ? Api.ChatText(frames) : Api.CompletionText(frames);
            var choice = whole["choices"]![0]!;
            Assert.Equal((string?)(path == Api.Chat ? choice["message"]!["content"] : choice["text"]), text);
        }
    }

    [Fact]
    public async Task RequestId_ReachesTheReplicas_AndErrors()
    {
        scripted.Client.TakeRequests();
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Length, (100, -1));
        foreach (var stream in (bool[])[true, false])
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, Api.Chat) { Content = new StringContent(Api.ChatBody("Hi", ("stream", stream)).ToJsonString()) };
            request.Headers.Add("x-request-id", "trace-42");
            using var response = await _http.SendAsync(request);
            Assert.Equal("trace-42", response.Headers.GetValues("x-request-id").Single());
            Assert.StartsWith("trace-42/chatcmpl-", Assert.Single(scripted.Client.TakeRequests()).RequestId);
        }

        using var wrong = new HttpRequestMessage(HttpMethod.Post, Api.Chat) { Content = new StringContent("{") };
        wrong.Headers.Add("x-request-id", "trace-43");
        using var refused = await _http.SendAsync(wrong);
        Assert.Equal("trace-43", refused.Headers.GetValues("x-request-id").Single());

        foreach (var given in (string[])[new string('x', 129), "two words"])
        {
            using var odd = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
            odd.Headers.TryAddWithoutValidation("x-request-id", given);
            using var answered = await _http.SendAsync(odd);
            Assert.Matches("^[0-9a-f]{32}$", answered.Headers.GetValues("x-request-id").Single());
        }
    }
}

using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Responses;

/// <summary>Answers of the Responses API, whole and as events, against OpenAI's description.</summary>
[Collection(SiloTests.Name)]
public sealed class ResponseTests(SiloFixture fixture)
{
    private const string Question = "What is the capital of France?";
    private readonly HttpClient _http = fixture.Http;

    [SharedDataFact]
    public async Task Whole_IsAResponse_AndAnswersAsChatDoes()
    {
        var chat = await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("temperature", 0)));

        var response = await _http.RespondAsync(ResponsesApi.Body(Question));

        Assert.StartsWith("resp_", ResponsesApi.IdOf(response));
        Assert.Equal("completed", (string?)response["status"]);
        Assert.Null(response["error"]);
        Assert.Null(response["incomplete_details"]);
        Assert.True((long)response["completed_at"]! >= (long)response["created_at"]!);
        var item = Assert.Single(response["output"]!.AsArray())!;
        Assert.Equal(("message", "assistant", "completed"), ((string)item["type"]!, (string)item["role"]!, (string)item["status"]!));
        Assert.Equal((string)chat["choices"]![0]!["message"]!["content"]!, ResponsesApi.TextOf(response));
        Assert.Empty(item["content"]![0]!["annotations"]!.AsArray());
        Assert.Empty(item["content"]![0]!["logprobs"]!.AsArray());
        Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, (int)response["usage"]!["input_tokens"]!);
        Assert.Equal((int)chat["usage"]!["completion_tokens"]!, (int)response["usage"]!["output_tokens"]!);
        Assert.Equal((int)chat["usage"]!["total_tokens"]!, (int)response["usage"]!["total_tokens"]!);
    }

    [SharedDataFact]
    public async Task Settings_AreRepeated()
    {
        var tools = new JsonArray(new JsonObject { ["type"] = "function", ["name"] = "find", ["parameters"] = new JsonObject { ["type"] = "object" } });
        var response = await _http.RespondAsync(ResponsesApi.Body(
            Question, ("instructions", "Answer in one word."), ("metadata", new JsonObject { ["trace"] = "7" }), ("temperature", 0.5), ("top_p", 0.75), ("seed", 5),
            ("user", "somebody"), ("safety_identifier", "hash"), ("prompt_cache_key", "key"), ("truncation", "auto"), ("tools", tools), ("tool_choice", "none"),
            ("parallel_tool_calls", false), ("max_output_tokens", 30), ("top_logprobs", 2), ("store", false), ("reasoning", new JsonObject { ["effort"] = null }),
            ("text", new JsonObject { ["format"] = new JsonObject { ["type"] = "text" } }), ("service_tier", "auto"), ("background", false)));

        Assert.Equal("Answer in one word.", (string?)response["instructions"]);
        Assert.Equal("7", (string?)response["metadata"]!["trace"]);
        Assert.Equal((0.5, 0.75), ((double)response["temperature"]!, (double)response["top_p"]!));
        Assert.Equal(("somebody", "hash", "key"), ((string?)response["user"], (string?)response["safety_identifier"], (string?)response["prompt_cache_key"]));
        Assert.Equal(("auto", "none", "default"), ((string?)response["truncation"], (string?)response["tool_choice"], (string?)response["service_tier"]));
        Assert.Equal("find", (string?)Assert.Single(response["tools"]!.AsArray())!["name"]);
        Assert.Equal((30, 2), ((int)response["max_output_tokens"]!, (int)response["top_logprobs"]!));
        Assert.False((bool)response["parallel_tool_calls"]!);
        Assert.False((bool)response["store"]!);
    }

    [SharedDataFact]
    public async Task Instructions_GoBeforeTheInput()
    {
        var messages = new JsonArray(ResponsesApi.Message("system", "You are terse."), ResponsesApi.Message("user", Question));
        var chat = await _http.AskAsync(Api.Chat, new JsonObject { ["messages"] = messages, ["temperature"] = 0 });

        var response = await _http.RespondAsync(ResponsesApi.Body(Question, ("instructions", "You are terse.")));
        var asItem = await _http.RespondAsync(ResponsesApi.Body(new JsonArray(ResponsesApi.Message("developer", "You are terse."), ResponsesApi.Message("user", Question))));

        foreach (var answer in (JsonNode[])[response, asItem])
        {
            Assert.Equal((int)chat["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["input_tokens"]!);
            Assert.Equal((string)chat["choices"]![0]!["message"]!["content"]!, ResponsesApi.TextOf(answer));
        }
    }

    [SharedDataFact]
    public async Task Events_ComeInOrder_AndSayWhatTheWholeSays()
    {
        var whole = await _http.RespondAsync(ResponsesApi.Body(Question));

        var events = await _http.RespondWithEventsAsync(ResponsesApi.Body(Question));

        var types = events.Select(entry => (string)entry["type"]!).ToList();
        Assert.Equal(["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"], types[..4]);
        Assert.Equal(["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"], types[^4..]);
        Assert.NotEmpty(types[4..^4]);
        Assert.All(types[4..^4], type => Assert.Equal("response.output_text.delta", type));
        var text = ResponsesApi.TextOf(whole);
        Assert.Equal(text, string.Concat(events[4..^4].Select(entry => (string)entry["delta"]!)));
        Assert.Equal(text, (string)events[^4]["text"]!);
        Assert.Equal(text, (string)events[^3]["part"]!["text"]!);
        Assert.Equal(text, (string)events[^2]["item"]!["content"]![0]!["text"]!);
        Assert.Equal(text, ResponsesApi.TextOf(events[^1]["response"]!));
        Assert.All(events[2..^1], entry => Assert.Equal((string)events[^2]["item"]!["id"]!, (string?)entry["item_id"] ?? (string)entry["item"]!["id"]!));
        Assert.Equal(("in_progress", "in_progress"), ((string)events[0]["response"]!["status"]!, (string)events[2]["item"]!["status"]!));
        Assert.Equal((int)whole["usage"]!["output_tokens"]!, (int)events[^1]["response"]!["usage"]!["output_tokens"]!);
    }

    [SharedDataTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task TooShortALimit_IsIncomplete(bool stream)
    {
        var body = ResponsesApi.Body(Question, ("max_output_tokens", 2));

        var response = stream ? (await _http.RespondWithEventsAsync(body))[^1] : await _http.RespondAsync(body);

        if (stream)
        {
            Assert.Equal("response.incomplete", (string?)response["type"]);
            response = response["response"]!;
        }

        Assert.Equal("incomplete", (string?)response["status"]);
        Assert.Equal("max_output_tokens", (string?)response["incomplete_details"]!["reason"]);
        Assert.Equal("incomplete", (string?)response["output"]![0]!["status"]);
        Assert.Equal(2, (int)response["usage"]!["output_tokens"]!);
    }

    [SharedDataFact]
    public async Task Logprobs_ComeWhereIncluded_AndAreThoseOfChat()
    {
        var chat = await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("temperature", 0), ("logprobs", true), ("top_logprobs", 2)));
        var expected = chat["choices"]![0]!["logprobs"]!["content"]!.AsArray();
        var body = ResponsesApi.Body(Question, ("top_logprobs", 2), ("include", new JsonArray("message.output_text.logprobs")));

        var whole = await _http.RespondAsync(body);
        var events = await _http.RespondWithEventsAsync(body);

        var streamed = events.Where(entry => (string?)entry["type"] == "response.output_text.delta").SelectMany(entry => entry["logprobs"]!.AsArray()).ToList();
        foreach (var tokens in (IEnumerable<JsonNode?>[])[whole["output"]![0]!["content"]![0]!["logprobs"]!.AsArray(), streamed])
        {
            Assert.Equal(expected.Select(token => (string)token!["token"]!), tokens.Select(token => (string)token!["token"]!));
            Assert.Equal(expected.Select(token => (float)token!["logprob"]!), tokens.Select(token => (float)token!["logprob"]!));
            Assert.All(tokens, token => Assert.Equal(2, token!["top_logprobs"]!.AsArray().Count));
            Assert.All(tokens, token => Assert.NotEmpty(token!["bytes"]!.AsArray()));
        }

        var stored = await _http.FindAsync(ResponsesApi.IdOf(whole));
        Assert.Empty(stored!["output"]![0]!["content"]![0]!["logprobs"]!.AsArray());
    }

    [SharedDataFact]
    public async Task ExtensionsOfSampling_AreTaken()
    {
        var free = ResponsesApi.Body("Tell me something.", ("temperature", 1.5), ("seed", 42));

        var first = await _http.RespondAsync(free);
        var second = await _http.RespondAsync(free);
        var greedy = await _http.RespondAsync(ResponsesApi.Body("Tell me something."));
        var narrow = await _http.RespondAsync(ResponsesApi.Body("Tell me something.", ("temperature", 1.5), ("seed", 42), ("top_k", 1)));
        var cut = await _http.RespondAsync(ResponsesApi.Body(Question, ("stop", "Paris")));

        Assert.Equal(ResponsesApi.TextOf(first), ResponsesApi.TextOf(second));
        Assert.Equal(ResponsesApi.TextOf(greedy), ResponsesApi.TextOf(narrow));
        Assert.DoesNotContain("Paris", ResponsesApi.TextOf(cut));
        Assert.Equal("completed", (string?)cut["status"]);
    }
}

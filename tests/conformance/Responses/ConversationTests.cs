using System.Net;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Responses;

/// <summary>Responses that go on from others, and what is kept of them.</summary>
[Collection(SiloTests.Name)]
public sealed class ConversationTests(SiloFixture fixture)
{
    private const string First = "My name is Zoë. What is the capital of France?";
    private const string Second = "What is my name?";
    private readonly HttpClient _http = fixture.Http;

    [SharedDataFact]
    public async Task PreviousResponse_IsAsIfTheConversationWasSentWhole()
    {
        var first = await _http.RespondAsync(ResponsesApi.Body(First));

        var second = await _http.RespondAsync(ResponsesApi.Body(Second, ("previous_response_id", ResponsesApi.IdOf(first))));
        var third = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(second))));

        var whole = await _http.RespondAsync(ResponsesApi.Body(new JsonArray(
            ResponsesApi.Message("user", First), ResponsesApi.Message("assistant", ResponsesApi.TextOf(first)),
            ResponsesApi.Message("user", Second), ResponsesApi.Message("assistant", ResponsesApi.TextOf(second)), ResponsesApi.Message("user", "And?"))));
        Assert.Equal(ResponsesApi.IdOf(second), (string?)third["previous_response_id"]);
        Assert.Equal((int)whole["usage"]!["input_tokens"]!, (int)third["usage"]!["input_tokens"]!);
        Assert.Equal(ResponsesApi.TextOf(whole), ResponsesApi.TextOf(third));
    }

    [SharedDataFact]
    public async Task OneResponse_IsGoneOnFromTwice()
    {
        var first = await _http.RespondAsync(ResponsesApi.Body(First));
        var id = ResponsesApi.IdOf(first);

        var name = await _http.RespondAsync(ResponsesApi.Body(Second, ("previous_response_id", id)));
        var hot = await _http.RespondAsync(ResponsesApi.Body("What is the opposite of hot?", ("previous_response_id", id)));
        var again = await _http.RespondAsync(ResponsesApi.Body(Second, ("previous_response_id", id)));

        Assert.Equal(ResponsesApi.TextOf(name), ResponsesApi.TextOf(again));
        Assert.Equal((int)name["usage"]!["input_tokens"]!, (int)again["usage"]!["input_tokens"]!);
        Assert.NotEqual((int)name["usage"]!["input_tokens"]!, (int)hot["usage"]!["input_tokens"]!);
    }

    [SharedDataFact]
    public async Task Instructions_AreNotCarriedOver()
    {
        var with = await _http.RespondAsync(ResponsesApi.Body(First, ("instructions", "You are terse.")));
        var without = await _http.RespondAsync(ResponsesApi.Body(new JsonArray(
            ResponsesApi.Message("user", First), ResponsesApi.Message("assistant", ResponsesApi.TextOf(with)), ResponsesApi.Message("user", Second))));

        var second = await _http.RespondAsync(ResponsesApi.Body(Second, ("previous_response_id", ResponsesApi.IdOf(with))));

        Assert.Equal((int)without["usage"]!["input_tokens"]!, (int)second["usage"]!["input_tokens"]!);
    }

    [SharedDataTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stored_IsWhatWasAnswered_UntilItIsDeleted(bool stream)
    {
        var body = ResponsesApi.Body(First, ("metadata", new JsonObject { ["a"] = "b" }));
        var answer = stream ? (await _http.RespondWithEventsAsync(body))[^1]["response"]! : await _http.RespondAsync(body);
        var id = ResponsesApi.IdOf(answer);

        Assert.True(JsonNode.DeepEquals(answer, await _http.FindAsync(id)));
        using (var deleted = await _http.DeleteAsync($"{ResponsesApi.Path}/{id}"))
        {
            Assert.Equal($$"""{"id":"{{id}}","object":"response","deleted":true}""", await deleted.Content.ReadAsStringAsync());
        }

        Assert.Null(await _http.FindAsync(id));
        using var again = await _http.DeleteAsync($"{ResponsesApi.Path}/{id}");
        await Api.ErrorAsync(again, HttpStatusCode.NotFound);
        using var goneOn = await _http.SendAsync(ResponsesApi.Path, ResponsesApi.Body(Second, ("previous_response_id", id)));
        var error = await Api.ErrorAsync(goneOn, HttpStatusCode.BadRequest);
        Assert.Equal(("previous_response_not_found", "previous_response_id"), ((string?)error["code"], (string?)error["param"]));
    }

    [SharedDataFact]
    public async Task NotStored_CannotBeFound_AndADeletedTurnStaysInLaterOnes()
    {
        var hidden = await _http.RespondAsync(ResponsesApi.Body(First, ("store", false)));
        var first = await _http.RespondAsync(ResponsesApi.Body(First));
        var second = await _http.RespondAsync(ResponsesApi.Body(Second, ("previous_response_id", ResponsesApi.IdOf(first))));
        using (await _http.DeleteAsync($"{ResponsesApi.Path}/{ResponsesApi.IdOf(first)}"))
        {
        }

        var third = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(second))));

        Assert.Null(await _http.FindAsync(ResponsesApi.IdOf(hidden)));
        Assert.True((int)third["usage"]!["input_tokens"]! > (int)second["usage"]!["input_tokens"]!);
    }

    [SharedDataFact]
    public async Task InputItems_AreListedInPages()
    {
        var input = new JsonArray(
            ResponsesApi.Message("developer", "Be kind."),
            new JsonObject { ["type"] = "function_call", ["call_id"] = "c1", ["name"] = "find", ["arguments"] = "{\"a\":1}" },
            new JsonObject { ["type"] = "function_call_output", ["call_id"] = "c1", ["output"] = "3" },
            new JsonObject { ["type"] = "message", ["role"] = "user", ["content"] = new JsonArray(new JsonObject { ["type"] = "input_text", ["text"] = Second }) });
        var first = await _http.RespondAsync(ResponsesApi.Body(input));
        var second = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(first))));
        var path = $"{ResponsesApi.Path}/{ResponsesApi.IdOf(second)}/input_items";

        var oldest = await PageAsync($"{path}?order=asc&limit=4");
        var rest = await PageAsync($"{path}?order=asc&limit=4&after={(string)oldest["last_id"]!}");
        var newest = await PageAsync(path);

        Assert.True((bool)oldest["has_more"]!);
        Assert.False((bool)rest["has_more"]!);
        var items = oldest["data"]!.AsArray().Concat(rest["data"]!.AsArray()).Select(item => item!).ToList();
        Assert.Equal(["message", "function_call", "function_call_output", "message", "message", "message"], items.Select(item => (string)item["type"]!));
        Assert.Equal(["developer", "user", "assistant", "user"], items.Where(item => item["role"] is not null).Select(item => (string)item["role"]!));
        Assert.Equal(ResponsesApi.TextOf(first), (string)items[4]["content"]![0]!["text"]!);
        Assert.Equal(6, items.Select(item => (string)item["id"]!).Distinct().Count());
        Assert.Equal(items.Select(item => (string)item["id"]!).Reverse(), newest["data"]!.AsArray().Select(item => (string)item!["id"]!));

        async Task<JsonNode> PageAsync(string page)
        {
            var list = JsonNode.Parse(await _http.GetStringAsync(page))!;
            OpenApiDescription.Check("ResponseItemList", list);
            return list;
        }
    }

    [SharedDataFact]
    public async Task Truncation_LeavesOutTheOldestTurns()
    {
        var turns = new JsonArray();
        for (var i = 0; i < 40; i++)
        {
            turns.Add((JsonNode)ResponsesApi.Message("user", string.Join(' ', Enumerable.Repeat("word", 40))));
            turns.Add((JsonNode)ResponsesApi.Message("assistant", "Yes."));
        }

        turns.Add((JsonNode)ResponsesApi.Message("user", First));
        var body = ResponsesApi.Body(turns);

        using (var refused = await _http.SendAsync(ResponsesApi.Path, body))
        {
            var error = await Api.ErrorAsync(refused, HttpStatusCode.BadRequest);
            Assert.Equal(("context_length_exceeded", "input"), ((string?)error["code"], (string?)error["param"]));
        }

        body["truncation"] = "auto";
        var response = await _http.RespondAsync(body);

        var used = (int)response["usage"]!["input_tokens"]!;
        var oneTurn = (await _http.RespondAsync(ResponsesApi.Body(First)))["usage"]!["input_tokens"]!;
        Assert.InRange(used, (int)oneTurn + 1, 1024 - 40);
        // One more turn would not have fitted.
        Assert.True(used + 120 > 1024 - 40, $"{used} tokens");
    }
}

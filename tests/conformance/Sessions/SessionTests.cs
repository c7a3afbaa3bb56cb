using System.Net;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>Requests that are turns of sessions: what is remembered of them, and that nothing of the answers changes.</summary>
[Collection(SiloTests.Name)]
public sealed class SessionTests(SiloFixture fixture)
{
    private const string Question = "What is the capital of France?";
    private readonly HttpClient _http = fixture.Http;

    [Fact]
    public async Task SessionId_OfAChat_ChangesNoAnswerAndRemembersTheTurn()
    {
        var id = SessionsApi.NewId();
        var without = await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("temperature", 0)));
        var with = await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("temperature", 0), ("session_id", id)));

        Assert.Equal(without["choices"]!.ToJsonString(), with["choices"]!.ToJsonString());
        var session = await _http.SessionAsync(id);
        Assert.Equal((id, Api.Model, 1, (string?)with["id"]), ((string?)session["id"], (string?)session["model"], (int)session["turns"]!, (string?)session["last_turn_id"]));
        Assert.EndsWith($"/{Api.Model}/0", (string?)session["owner"]!["replica"]);
        // What ends the answer may be a token that is no part of it.
        var total = (int)with["usage"]!["total_tokens"]!;
        Assert.InRange((int)session["history_tokens"]!, total, total + 1);
        Assert.Equal(3600, (int)session["expires_at"]! - (int)session["used_at"]!);
    }

    [Theory]
    [InlineData(Api.Chat, false)]
    [InlineData(Api.Chat, true)]
    [InlineData(Api.Completions, false)]
    [InlineData(Api.Completions, true)]
    public async Task SessionId_OfEveryEndpointAndByHeader_IsOneSession(string path, bool stream)
    {
        var id = SessionsApi.NewId();
        for (var turn = 1; turn <= 2; turn++)
        {
            var body = path == Api.Chat ? Api.ChatBody(Question, ("max_tokens", 4)) : Api.CompletionBody("Once", ("max_tokens", 4));
            body["stream"] = stream;
            if (turn == 1) body["session_id"] = id;
            using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body.ToJsonString(), null, "application/json") };
            if (turn == 2) request.Headers.Add("x-session-id", id);
            using var response = await _http.SendAsync(request);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            await response.Content.ReadAsStringAsync();

            Assert.Equal(turn, (int)(await _http.SessionAsync(id))["turns"]!);
        }
    }

    [Fact]
    public async Task SessionId_OfSeveralChoices_RemembersTheFirst()
    {
        var id = SessionsApi.NewId();

        await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("n", 3), ("max_tokens", 3), ("session_id", id)));

        Assert.Equal(1, (int)(await _http.SessionAsync(id))["turns"]!);
    }

    [Theory]
    [InlineData("\"\"", "session_id has 0 characters; it must be 1 to 256 visible ASCII characters other than '/'.")]
    [InlineData("\"a b\"", "session_id has 3 characters; it must be 1 to 256 visible ASCII characters other than '/'.")]
    [InlineData("\"a/b\"", "session_id has 3 characters; it must be 1 to 256 visible ASCII characters other than '/'.")]
    [InlineData("7", "session_id is 7; it must be a string.")]
    public async Task SessionId_ThatIsNone_IsRefused(string id, string message)
    {
        using var response = await _http.SendAsync(Api.Chat, Api.ChatBody(Question, ("session_id", JsonNode.Parse(id))));

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal((message, "session_id", "invalid_value"), ((string?)error["message"], (string?)error["param"], (string?)error["code"]));
    }

    [Fact]
    public async Task SessionId_OtherThanTheHeader_IsRefused()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, Api.Chat)
        {
            Content = new StringContent(Api.ChatBody(Question, ("session_id", "one")).ToJsonString(), null, "application/json"),
            Headers = { { "x-session-id", "two" } },
        };
        using var response = await _http.SendAsync(request);

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal("session_id is \"one\"; the header x-session-id says \"two\", and a request is a turn of one session.", (string?)error["message"]);
    }

    [Fact]
    public async Task Fork_GoesOnByItself()
    {
        var (id, named) = (SessionsApi.NewId(), SessionsApi.NewId());
        await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("max_tokens", 4), ("session_id", id)));
        var before = await _http.SessionAsync(id);

        var first = await _http.ForkAsync(id, new JsonObject { ["id"] = named });
        var second = await _http.ForkAsync(id, []);
        await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("max_tokens", 4), ("session_id", named)));

        Assert.Equal((named, id, (int)before["history_tokens"]!), ((string?)first["id"], (string?)first["forked_from"], (int)first["history_tokens"]!));
        Assert.StartsWith("sess_", (string?)second["id"]);
        Assert.Equal(2, (int)(await _http.SessionAsync(named))["turns"]!);
        Assert.Equal(1, (int)(await _http.SessionAsync((string)second["id"]!))["turns"]!);
        var after = await _http.SessionAsync(id);
        Assert.All((string[])["turns", "history_tokens", "last_turn_id", "version"], name => Assert.True(JsonNode.DeepEquals(before[name], after[name]), name));
    }

    [Fact]
    public async Task Fork_ThatCannotBe_IsToldWhy()
    {
        var (id, other) = (SessionsApi.NewId(), SessionsApi.NewId());
        foreach (var session in (string[])[id, other]) await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("max_tokens", 2), ("session_id", session)));

        using var taken = await _http.SendAsync($"{SessionsApi.PathOf(id)}/fork", new JsonObject { ["id"] = other });
        using var same = await _http.SendAsync($"{SessionsApi.PathOf(id)}/fork", new JsonObject { ["id"] = id });
        using var wrong = await _http.SendAsync($"{SessionsApi.PathOf(id)}/fork", new JsonObject { ["id"] = "a b" });
        using var missing = await _http.SendAsync($"{SessionsApi.PathOf(SessionsApi.NewId())}/fork", new JsonObject());

        foreach (var conflict in (HttpResponseMessage[])[taken, same])
        {
            var error = await Api.ErrorAsync(conflict, HttpStatusCode.Conflict);
            Assert.Equal(("session_exists", "id"), ((string?)error["code"], (string?)error["param"]));
        }

        Assert.Equal("id", (string?)(await Api.ErrorAsync(wrong, HttpStatusCode.BadRequest))["param"]);
        Assert.Equal("session_not_found", (string?)(await Api.ErrorAsync(missing, HttpStatusCode.NotFound))["code"]);
    }

    [Fact]
    public async Task Delete_ForgetsTheSession()
    {
        var id = SessionsApi.NewId();
        await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("max_tokens", 2), ("session_id", id)));

        using var deleted = await _http.DeleteAsync(SessionsApi.PathOf(id));
        using var again = await _http.DeleteAsync(SessionsApi.PathOf(id));

        Assert.Equal($$"""{"id":"{{id}}","object":"session","deleted":true}""", await deleted.Content.ReadAsStringAsync());
        await Api.ErrorAsync(again, HttpStatusCode.NotFound);
        await _http.RequireMissingAsync(id);
        await _http.AskAsync(Api.Chat, Api.ChatBody(Question, ("max_tokens", 2), ("session_id", id)));
        Assert.Equal(1, (int)(await _http.SessionAsync(id))["turns"]!);
    }

    [Fact]
    public async Task UnknownSession_IsNotFound()
    {
        await _http.RequireMissingAsync(SessionsApi.NewId());
        await _http.RequireMissingAsync("no id");
    }
}

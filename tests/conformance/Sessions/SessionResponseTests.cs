using Granary.Tests.Conformance.Responses;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>Stored responses over sessions: going on from the last one is its session's next turn, going on from an older one is a branch.</summary>
[Collection(SiloTests.Name)]
public sealed class SessionResponseTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [SharedDataFact]
    public async Task PreviousResponse_TheLastTurn_GoesOnWithItsSession()
    {
        var id = SessionsApi.NewId();
        var first = await _http.RespondAsync(ResponsesApi.Body("Hello", ("session_id", id)));
        var second = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(first))));
        var third = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(second))));

        var session = await _http.SessionAsync(id);
        Assert.Equal((3, ResponsesApi.IdOf(third)), ((int)session["turns"]!, (string)session["last_turn_id"]!));
    }

    [SharedDataFact]
    public async Task PreviousResponse_AnOlderTurn_BranchesIntoASessionOfItsOwn()
    {
        var id = SessionsApi.NewId();
        var first = await _http.RespondAsync(ResponsesApi.Body("Hello", ("session_id", id)));
        await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(first))));
        var branch = await _http.RespondAsync(ResponsesApi.Body("Or?", ("previous_response_id", ResponsesApi.IdOf(first))));
        await _http.SessionAsync(id); // Whose turns are written by now.
        var next = await _http.RespondAsync(ResponsesApi.Body("So?", ("previous_response_id", ResponsesApi.IdOf(branch))));

        Assert.Equal(2, (int)(await _http.SessionAsync(id))["turns"]!);
        var branched = await _http.SessionAsync(ResponsesApi.IdOf(branch));
        Assert.Equal((id, 2, ResponsesApi.IdOf(next)), ((string?)branched["forked_from"], (int)branched["turns"]!, (string?)branched["last_turn_id"]));
    }

    [SharedDataFact]
    public async Task PreviousResponse_OfNoSession_MakesNone()
    {
        var first = await _http.RespondAsync(ResponsesApi.Body("Hello"));
        var second = await _http.RespondAsync(ResponsesApi.Body("And?", ("previous_response_id", ResponsesApi.IdOf(first))));

        await _http.RequireMissingAsync(ResponsesApi.IdOf(first));
        await _http.RequireMissingAsync(ResponsesApi.IdOf(second));
    }
}

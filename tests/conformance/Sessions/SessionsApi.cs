using System.Net;
using System.Text.Json.Nodes;
using Granary.Silo.Gateway;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Sessions;

/// <summary>Asks for sessions, and reads what they tell.</summary>
internal static class SessionsApi
{
    private static readonly Lazy<SchemaValidator> Schemas = new(() =>
    {
        using var stream = DescriptionEndpoints.Open();
        return new SchemaValidator(JsonNode.Parse(stream)!);
    });

    /// <summary>An id that no other test has.</summary>
    public static string NewId() => $"talk-{Guid.NewGuid():N}";

    public static string PathOf(string id) => $"/v1/sessions/{Uri.EscapeDataString(id)}";

    /// <summary>A session that must be there, as it is described.</summary>
    public static async Task<JsonNode> SessionAsync(this HttpClient http, string id)
    {
        using var response = await http.GetAsync(PathOf(id));
        return await CheckAsync(response);
    }

    public static async Task<JsonNode> ForkAsync(this HttpClient http, string id, JsonObject body)
    {
        using var response = await http.SendAsync($"{PathOf(id)}/fork", body);
        return await CheckAsync(response);
    }

    public static async Task RequireMissingAsync(this HttpClient http, string id)
    {
        using var response = await http.GetAsync(PathOf(id));
        var error = await Api.ErrorAsync(response, HttpStatusCode.NotFound);
        Assert.Equal(("session_not_found", "session_id"), ((string?)error["code"], (string?)error["param"]));
    }

    private static async Task<JsonNode> CheckAsync(HttpResponseMessage response)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        var session = JsonNode.Parse(text)!;
        Assert.Empty(Schemas.Value.Validate(session, "Session"));
        return session;
    }
}

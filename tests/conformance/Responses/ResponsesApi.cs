using System.Net;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Responses;

/// <summary>Asks the Responses API, and reads its events.</summary>
internal static class ResponsesApi
{
    public const string Path = "/v1/responses";

    /// <summary>A greedy request, so that answers can be compared.</summary>
    public static JsonObject Body(JsonNode input, params (string Name, JsonNode? Value)[] fields)
    {
        var body = new JsonObject { ["model"] = Api.Model, ["input"] = input, ["temperature"] = 0, ["max_output_tokens"] = 40 };
        foreach (var (name, value) in fields) body[name] = value;
        return body;
    }

    public static JsonObject Message(string role, string text) => new() { ["role"] = role, ["content"] = text };

    /// <summary>A whole answer that must be 200 and a response as OpenAI describes it.</summary>
    public static async Task<JsonNode> RespondAsync(this HttpClient http, JsonNode body)
    {
        var response = await http.AskAsync(Path, body);
        OpenApiDescription.Check("Response", response);
        return response;
    }

    /// <summary>All events of a stream that must be 200: numbered from 0, named as their type, each as OpenAI describes it.</summary>
    public static async Task<List<JsonNode>> RespondWithEventsAsync(this HttpClient http, JsonObject body)
    {
        var streaming = (JsonObject)body.DeepClone();
        streaming["stream"] = true;
        using var response = await http.SendAsync(Path, streaming);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        var events = ReadEvents(text);
        Assert.All(events, entry => OpenApiDescription.CheckEvent(entry));
        return events;
    }

    public static List<JsonNode> ReadEvents(string stream)
    {
        Assert.EndsWith("\n\n", stream);
        var events = new List<JsonNode>();
        foreach (var text in stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
        {
            var lines = text.Split('\n');
            Assert.Equal(2, lines.Length);
            Assert.StartsWith("data: ", lines[1]);
            var data = JsonNode.Parse(lines[1]["data: ".Length..])!;
            Assert.Equal($"event: {(string)data["type"]!}", lines[0]);
            Assert.Equal(events.Count, (int)data["sequence_number"]!);
            events.Add(data);
        }

        return events;
    }

    public static string TextOf(JsonNode response) => (string)response["output"]![0]!["content"]![0]!["text"]!;

    public static string IdOf(JsonNode response) => (string)response["id"]!;

    /// <summary>A stored response; null for 404.</summary>
    public static async Task<JsonNode?> FindAsync(this HttpClient http, string id)
    {
        using var response = await http.GetAsync($"{Path}/{id}");
        if (response.StatusCode == HttpStatusCode.OK) return JsonNode.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal("response_not_found", (string?)(await Api.ErrorAsync(response, HttpStatusCode.NotFound))["code"]);
        return null;
    }
}

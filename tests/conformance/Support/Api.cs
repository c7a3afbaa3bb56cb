using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Support;

/// <summary>Asks the gateway, and reads its answers.</summary>
internal static class Api
{
    public const string Model = "tiny-assistant";
    public const string Chat = "/v1/chat/completions";
    public const string Completions = "/v1/completions";
    public const string Embeddings = "/v1/embeddings";

    public static JsonObject ChatBody(string text, params (string Name, JsonNode? Value)[] fields)
    {
        var body = new JsonObject
        {
            ["model"] = Model,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = text }),
        };
        foreach (var (name, value) in fields) body[name] = value;
        return body;
    }

    public static JsonObject CompletionBody(JsonNode prompt, params (string Name, JsonNode? Value)[] fields)
    {
        var body = new JsonObject { ["model"] = Model, ["prompt"] = prompt };
        foreach (var (name, value) in fields) body[name] = value;
        return body;
    }

    public static Task<HttpResponseMessage> SendAsync(this HttpClient http, string path, JsonNode body, CancellationToken cancellationToken = default) =>
        http.SendTextAsync(path, body.ToJsonString(), cancellationToken);

    public static async Task<HttpResponseMessage> SendTextAsync(this HttpClient http, string path, string body, CancellationToken cancellationToken = default)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    /// <summary>A whole answer that must be 200.</summary>
    public static async Task<JsonNode> AskAsync(this HttpClient http, string path, JsonNode body)
    {
        using var response = await http.SendAsync(path, body);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        return JsonNode.Parse(text)!;
    }

    /// <summary>All frames of a stream that must be 200 and end with the end mark.</summary>
    public static async Task<List<JsonNode>> StreamAsync(this HttpClient http, string path, JsonObject body)
    {
        var streaming = (JsonObject)body.DeepClone();
        streaming["stream"] = true;
        using var response = await http.SendAsync(path, streaming);
        Assert.True(response.StatusCode == HttpStatusCode.OK, response.StatusCode == HttpStatusCode.OK ? "" : await response.Content.ReadAsStringAsync());
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        return ReadFrames(await response.Content.ReadAsStringAsync());
    }

    /// <summary>Every event is one line of data and an empty line; the last is the end mark.</summary>
    public static List<JsonNode> ReadFrames(string stream)
    {
        Assert.EndsWith("data: [DONE]\n\n", stream);
        var events = stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.All(events, text => Assert.StartsWith("data: ", text));
        Assert.Equal("data: [DONE]", events[^1]);
        return [.. events[..^1].Select(text => JsonNode.Parse(text["data: ".Length..])!)];
    }

    /// <summary>The text of one choice of a chat stream.</summary>
    public static string ChatText(IEnumerable<JsonNode> frames, int choice = 0) =>
        string.Concat(Choices(frames, choice).Select(c => (string?)c["delta"]!["content"] ?? ""));

    /// <summary>The text of one choice of a completion stream.</summary>
    public static string CompletionText(IEnumerable<JsonNode> frames, int choice = 0) =>
        string.Concat(Choices(frames, choice).Select(c => (string)c["text"]!));

    public static IEnumerable<JsonNode> Choices(IEnumerable<JsonNode> frames, int choice = 0) =>
        frames.SelectMany(frame => frame["choices"]!.AsArray()).Select(c => c!).Where(c => (int)c["index"]! == choice);

    /// <summary>Checks the shape of an error's body and returns the error.</summary>
    public static async Task<JsonNode> ErrorAsync(HttpResponseMessage response, HttpStatusCode status)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{response.StatusCode}: {text}");
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        return CheckError(JsonNode.Parse(text)!);
    }

    public static JsonNode CheckError(JsonNode body)
    {
        Assert.Equal(["error"], body.AsObject().Select(p => p.Key));
        var error = body["error"]!.AsObject();
        Assert.Equal(["message", "type", "param", "code"], error.Select(p => p.Key));
        Assert.NotEqual("", (string?)error["message"]);
        Assert.NotEqual("", (string?)error["type"]);
        Assert.True(error["param"] is null || error["param"]!.GetValueKind() == System.Text.Json.JsonValueKind.String);
        Assert.True(error["code"] is null || error["code"]!.GetValueKind() == System.Text.Json.JsonValueKind.String);
        return error;
    }
}

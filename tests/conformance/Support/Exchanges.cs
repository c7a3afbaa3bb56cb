using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Support;

/// <summary>A request, and the schemas of what answers it.</summary>
/// <param name="Ours">The schema's name in our description.</param>
/// <param name="OpenAi">The schema's name in OpenAI's; null where it has no such endpoint.</param>
public sealed record Exchange(string Path, string? Body, bool Stream, string Ours, string? OpenAi)
{
    public override string ToString() => $"{Path} {Body}{(Stream ? " streamed" : "")}";
}

/// <summary>Requests that bring forth every endpoint and every shape of its answers.</summary>
internal static class Exchanges
{
    private static readonly string[] Common =
    [
        "{}", "{\"n\":2,\"max_tokens\":3}", "{\"stop\":[\"a\"],\"include_stop_str_in_output\":true}", "{\"max_tokens\":0}", "{\"return_token_ids\":true}",
        "{\"stream_options\":{\"include_usage\":true}}", "{\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},\"n\":2}",
    ];

    public static IEnumerable<Exchange> All =>
    [
        .. Common.Concat(["{\"logprobs\":true}", "{\"logprobs\":true,\"top_logprobs\":3,\"n\":2}", "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}"])
            .SelectMany(fields => Both(Api.Chat, "{\"model\":\"tiny-assistant\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", fields,
                ("ChatCompletion", "CreateChatCompletionResponse"), ("ChatCompletionChunk", "CreateChatCompletionStreamResponse"))),
        .. Common.Concat(["{\"logprobs\":0}", "{\"logprobs\":3,\"n\":2}", "{\"echo\":true}", "{\"echo\":true,\"logprobs\":2}", "{\"echo\":true,\"logprobs\":1,\"max_tokens\":0}",
                "{\"prompt\":[\"a\",\"b\"]}", "{\"prompt\":[1,2]}", "{\"prompt\":[[1],[2,3]]}"])
            .SelectMany(fields => Both(Api.Completions, "{\"model\":\"tiny-assistant\",\"prompt\":\"Once\"}", fields,
                ("Completion", "CreateCompletionResponse"), ("CompletionChunk", "CreateCompletionResponse"))),
        new(Api.Completions, "{\"prompt\":\"Once\",\"best_of\":3,\"n\":2}", false, "Completion", "CreateCompletionResponse"),
        .. ((string[])["{\"input\":\"a\"}", "{\"input\":[\"a\",\"b\"],\"dimensions\":2}", "{\"input\":[1,2],\"encoding_format\":\"base64\"}", "{\"input\":[[1],[2]],\"pooling\":\"last\"}"])
            .Select(body => new Exchange(Api.Embeddings, body, false, "Embeddings", "CreateEmbeddingResponse")),
        new("/tokenize", "{\"prompt\":\"a b\"}", false, "TokenizeResponse", null),
        new("/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"return_token_strs\":true}", false, "TokenizeResponse", null),
        new("/detokenize", "{\"tokens\":[1,2]}", false, "DetokenizeResponse", null),
        new("/v1/models", null, false, "ModelList", "ListModelsResponse"),
        new("/v1/models/tiny-assistant", null, false, "Model", "Model"),
        new("/admin/topology", null, false, "Topology", null),
        new("/version", null, false, "Version", null),
        new("/health", null, false, "Health", null),
        new("/health/live", null, false, "Health", null),
        new("/health/ready", null, false, "Health", null),
        new("/v1/models/none", null, false, "ErrorResponse", "ErrorResponse"),
        new("/none", null, false, "ErrorResponse", "ErrorResponse"),
        new(Api.Chat, null, false, "ErrorResponse", "ErrorResponse"),
        new(Api.Chat, "{", false, "ErrorResponse", "ErrorResponse"),
        new(Api.Chat, "{\"messages\":[]}", false, "ErrorResponse", "ErrorResponse"),
        new(Api.Embeddings, "{\"input\":[]}", false, "ErrorResponse", "ErrorResponse"),
    ];

    /// <summary>The objects that answer: one, or a stream's frames.</summary>
    public static async Task<IReadOnlyList<JsonNode>> AnswersAsync(HttpClient http, Exchange exchange)
    {
        using var response = exchange.Body is null ? await http.GetAsync(exchange.Path) : await http.SendTextAsync(exchange.Path, exchange.Body);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode == (exchange.Ours != "ErrorResponse"), text);
        return exchange.Stream ? Api.ReadFrames(text) : [JsonNode.Parse(text)!];
    }

    private static IEnumerable<Exchange> Both(string path, string body, string fields, (string Ours, string OpenAi) whole, (string Ours, string OpenAi) chunk)
    {
        var merged = JsonNode.Parse(body)!.AsObject();
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) merged[name] = value?.DeepClone();
        yield return new(path, merged.ToJsonString(), false, whole.Ours, whole.OpenAi);
        merged["stream"] = true;
        yield return new(path, merged.ToJsonString(), true, chunk.Ours, chunk.OpenAi);
    }
}

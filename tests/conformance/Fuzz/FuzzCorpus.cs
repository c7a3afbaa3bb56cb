using System.Text;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>Valid requests of every endpoint, and what is made of them.</summary>
internal static class FuzzCorpus
{
    /// <summary>What the silo asks of those who may ask.</summary>
    public const string Key = "sk-fuzz-0123456789";

    /// <summary>Method, route as the gateway maps it, and a body for those that take one. How often an entry stands here is how often it is asked.</summary>
    public static IReadOnlyList<(string Method, string Route, string? Body)> Entries { get; } =
    [
        Chat("""{"max_tokens":3}"""),
        Chat("""{"max_tokens":4,"stream":true,"stream_options":{"include_usage":true}}"""),
        Chat("""{"max_completion_tokens":3,"logprobs":true,"top_logprobs":2,"temperature":0.7,"top_p":0.9,"seed":1,"n":2}"""),
        Chat("""{"max_tokens":3,"stream":true,"stop":["a","b"],"presence_penalty":0.5,"frequency_penalty":-0.5,"logit_bias":{"5":1,"2047":-100}}"""),
        Chat("""{"max_tokens":2,"min_tokens":1,"top_k":5,"min_p":0.1,"repetition_penalty":1.1,"ignore_eos":true,"stop_token_ids":[7],"user":"u","tools":[],"response_format":{"type":"text"},"cache_salt":"s"}"""),
        ("POST", Api.Chat, """{"model":"tiny-assistant","max_tokens":2,"messages":[{"role":"system","content":"Be brief."},{"role":"developer","content":[{"type":"text","text":"Be kind."}]},{"role":"user","name":"ada","content":"Hi"},{"role":"assistant","content":null},{"role":"tool","tool_call_id":"c","content":"5"},{"role":"user","content":"And?"}]}"""),
        Completion("""{"prompt":"The capital of France is","max_tokens":3}"""),
        Completion("""{"prompt":["A cat","A dog"],"max_tokens":2,"logprobs":1,"n":2,"stream":true}"""),
        Completion("""{"prompt":[5,6,7],"max_tokens":2,"temperature":1.5,"seed":-3,"stop":"x","best_of":1}"""),
        Completion("""{"prompt":[[5,6],[7]],"max_tokens":1,"echo":false,"suffix":null,"stream":true,"stream_options":{"include_usage":true}}"""),
        Completion("""{"prompt":"A","max_tokens":0,"echo":true,"logprobs":2}"""),
        Completion("""{"prompt":"A cat","max_tokens":2,"n":1,"best_of":3,"temperature":1,"stream":false}"""),
        Chat("""{"max_tokens":2,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},"include_stop_str_in_output":true,"skip_special_tokens":false,"return_token_ids":true,"metadata":{"a":"b"},"store":false}"""),
        Chat("""{"max_tokens":2,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}],"tool_choice":"auto","parallel_tool_calls":true}"""),
        ("POST", "/tokenize", """{"model":"tiny-assistant","prompt":"Hello world","add_special_tokens":true,"return_token_strs":true}"""),
        ("POST", "/tokenize", """{"model":"tiny-assistant","messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":true,"continue_final_message":false}"""),
        ("POST", "/detokenize", """{"model":"tiny-assistant","tokens":[5,6,7]}"""),
        ("POST", "/v1/embeddings", """{"model":"tiny-assistant","input":"Hello","encoding_format":"float","user":"u"}"""),
        ("POST", "/v1/embeddings", """{"model":"tiny-assistant","input":[[5,6],[7]],"encoding_format":"base64","dimensions":8,"pooling":"last"}"""),
        ("POST", "/v1/responses", """{"model":"tiny-assistant","input":"Hi","max_output_tokens":2,"store":false,"instructions":"Be brief.","temperature":0.5,"metadata":{"a":"b"}}"""),
        ("POST", "/v1/responses", """{"model":"tiny-assistant","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]},{"role":"assistant","content":"Yes?"},{"role":"user","content":"Go"}],"max_output_tokens":2,"stream":true,"include":["message.output_text.logprobs"],"top_logprobs":1,"truncation":"auto"}"""),
        ("GET", "/v1/responses/{id}", null),
        ("DELETE", "/v1/responses/{id}", null),
        ("GET", "/v1/responses/{id}/input_items", null),
        ("POST", "/v1/responses/{id}/cancel", null),
        Chat("""{"max_tokens":2,"session_id":"talk"}"""),
        ("GET", "/v1/sessions/{id}", null),
        ("POST", "/v1/sessions/{id}/fork", """{"id":"branch"}"""),
        ("DELETE", "/v1/sessions/{id}", null),
        ("GET", "/v1/streams/{id}", null),
        ("GET", "/v1/models", null),
        ("GET", "/admin/topology", null),
        ("GET", "/version", null),
        ("GET", "/openapi.json", null),
        ("GET", "/health", null),
        ("GET", "/v1/models/{id}", null),
        ("GET", "/health/live", null),
        ("GET", "/health/ready", null),
        ("GET", "/metrics", null),
    ];

    /// <summary>Fields of all bodies, to try those of one endpoint at another.</summary>
    public static IReadOnlyList<string> Names { get; } =
        [.. Entries.Where(entry => entry.Body is not null).SelectMany(entry => JsonNode.Parse(entry.Body!)!.AsObject().Select(field => field.Key)).Distinct()];

    /// <summary>The request of a seed and an index, whatever was asked before.</summary>
    public static FuzzRequest Create(int seed, int index)
    {
        var random = new Random(unchecked((seed * 1_000_003) + index));
        var (method, route, body) = Entries[random.Next(Entries.Count)];
        var request = new FuzzRequest(method, route.Replace("{id}", Api.Model, StringComparison.Ordinal));
        if (body is not null)
        {
            var json = JsonNode.Parse(body)!.AsObject();
            if (random.Next(10) < 8)
            {
                var (text, mutations) = new JsonMutations(random, json, Names).Apply(1 + random.Next(3));
                body = text;
                foreach (var mutation in mutations) request.Note(mutation);
            }

            request.Body = Encoding.UTF8.GetBytes(body);
            request.SetHeader("Content-Type", "application/json");
        }

        if (random.Next(20) > 0) request.SetHeader("Authorization", $"Bearer {Key}");
        if (body is not null && random.Next(8) == 0) WireMutations.Bytes(request, random);
        if (request.Body.Length > 0) request.SetHeader("Content-Length", request.Body.Length.ToString(System.Globalization.CultureInfo.InvariantCulture));
        if (request.Mutations.Count == 0 || random.Next(10) == 0) WireMutations.Http(request, random);
        if (random.Next(12) == 0) WireMutations.Stay(request, random);
        return request;
    }

    private static (string Method, string Route, string? Body) Chat(string fields)
    {
        var body = Api.ChatBody("What is the capital of France?");
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();
        return ("POST", Api.Chat, body.ToJsonString());
    }

    private static (string Method, string Route, string? Body) Completion(string fields) => ("POST", Api.Completions, """{"model":"tiny-assistant",""" + fields[1..]);
}

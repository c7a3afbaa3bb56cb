using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>Whether an answer is one that a client can live with.</summary>
internal static class Verdict
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Codes of errors that no single field of the body causes.</summary>
    private static readonly HashSet<string> WithoutField =
        ["invalid_json", "bad_request", "invalid_api_key", "not_found", "method_not_allowed", "body_too_large", "too_many_requests"];

    /// <returns>Null where all is well, else what is wrong.</returns>
    public static string? Of(FuzzRequest request, WireAnswer answer)
    {
        if (answer.Status == 0)
            return request.BreaksHttp || request.Leave != Leave.AfterTheAnswer ? null : "The connection ended without an answer.";
        if (answer.Status >= 500 && answer.IsOfTheGateway) return "The server failed.";
        if (request.Leave == Leave.InTheAnswer) return null; // Its rest was not read.
        if (!answer.IsWhole) return request.BreaksHttp ? null : "The answer ended in the middle.";
        if (!answer.IsOfTheGateway && request.BreaksHttp && answer.Status is 400 or 408 or 411 or 414 or 431 or 501 or 505) return null;
        if (!answer.IsOfTheGateway) return "The answer has no x-request-id: the gateway did not see the request.";
        if (request.Method == "HEAD") return null; // Its answers have no body.
        try
        {
            return answer.Status switch
            {
                >= 200 and < 300 => OfSuccess(request, answer),
                >= 400 => OfRefusal(answer),
                _ => "Neither success nor refusal.",
            };
        }
        catch (Exception exception) when (exception is JsonException or DecoderFallbackException or InvalidOperationException or FormatException)
        {
            return $"The answer is malformed: {exception.Message}";
        }
    }

    private static string? OfSuccess(FuzzRequest request, WireAnswer answer)
    {
        var text = Strict.GetString(answer.Body);
        switch (answer.MediaType)
        {
            case "application/json":
                JsonNode.Parse(text);
                return null;
            case "text/plain" when request.Path.StartsWith("/metrics", StringComparison.OrdinalIgnoreCase):
                return null;
            case "text/event-stream":
                return OfStream(text);
            default:
                return $"The media type is '{answer.MediaType}'.";
        }
    }

    private static string? OfStream(string text)
    {
        if (text.StartsWith("event: ", StringComparison.Ordinal)) return OfEvents(text);
        if (!text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal)) return "The stream has no end mark.";
        foreach (var frame in text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[..^1])
        {
            var data = frame.Split('\n').SingleOrDefault(line => line.StartsWith("data: ", StringComparison.Ordinal));
            if (data is null) return "A frame has no line of data, or several.";
            if (JsonNode.Parse(data["data: ".Length..]) is JsonObject json && json["error"] is not null) return "The stream ended with an error.";
        }

        return null;
    }

    /// <summary>The Responses API's streams: each event has a name, and the last one tells the end.</summary>
    private static string? OfEvents(string text)
    {
        var last = "";
        foreach (var frame in text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
        {
            var lines = frame.Split('\n');
            if (lines.Length != 2 || !lines[1].StartsWith("data: ", StringComparison.Ordinal)) return "An event is not its name and a line of data.";
            last = JsonNode.Parse(lines[1]["data: ".Length..])!["type"]!.GetValue<string>();
            if (lines[0] != $"event: {last}") return "An event's name is not its type.";
        }

        return last is "response.completed" or "response.incomplete" ? null : $"The last event is {last}.";
    }

    private static string? OfRefusal(WireAnswer answer)
    {
        if (answer.MediaType != "application/json") return $"The refusal's media type is '{answer.MediaType}'.";
        var body = JsonNode.Parse(Strict.GetString(answer.Body))!.AsObject();
        if (body.Count != 1 || body["error"] is not JsonObject error) return "The refusal is not {\"error\":{…}}.";
        if (!error.Select(field => field.Key).SequenceEqual(["message", "type", "param", "code"])) return "The error's fields are others.";
        if (error["message"]!.GetValue<string>().Length == 0 || error["type"]!.GetValue<string>().Length == 0) return "The error says nothing.";
        var (parameter, code) = (error["param"]?.GetValue<string>(), error["code"]?.GetValue<string>());
        return parameter is { Length: > 0 } || WithoutField.Contains(code ?? "") ? null : $"The error of code '{code}' names no field.";
    }
}

using System.Text.Json;

namespace Granary.Client;

/// <summary>Reads the frames of a stream, of chats and of completions, into updates.</summary>
internal static class FrameReader
{
    /// <param name="data">One frame's JSON.</param>
    /// <param name="requestId">For the errors.</param>
    /// <exception cref="GranaryGenerationException">The frame is not one, or tells of a failure.</exception>
    public static List<GenerationUpdate> Read(string data, string? requestId)
    {
        try
        {
            using var document = JsonDocument.Parse(data);
            if (GatewayErrors.FromFrame(document.RootElement, requestId) is { } error) throw error;
            return [.. Updates(document.RootElement)];
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new GranaryGenerationException($"The gateway sent a frame that cannot be read: {exception.Message}", exception) { RequestId = requestId };
        }
    }

    private static IEnumerable<GenerationUpdate> Updates(JsonElement frame)
    {
        var head = new GenerationUpdate
        {
            ResponseId = frame.GetProperty("id").GetString() ?? "",
            Model = frame.GetProperty("model").GetString() ?? "",
            Created = DateTimeOffset.FromUnixTimeSeconds(frame.GetProperty("created").GetInt64()),
        };
        foreach (var choice in frame.GetProperty("choices").EnumerateArray())
        {
            var update = head with
            {
                Choice = choice.GetProperty("index").GetInt32(),
                Text = TextOf(choice),
                Logprobs = LogprobsOf(choice),
                FinishReason = Optional(choice, "finish_reason")?.GetString(),
            };
            // A choice's opening tells only who speaks.
            if (update.Text.Length > 0 || update.Logprobs.Count > 0 || update.FinishReason is not null) yield return update;
        }

        if (Optional(frame, "usage") is not { } usage) yield break;
        var cached = Optional(usage, "prompt_tokens_details") is { } details ? Optional(details, "cached_tokens")?.GetInt32() ?? 0 : 0;
        yield return head with
        {
            Usage = new(usage.GetProperty("prompt_tokens").GetInt32(), cached, usage.GetProperty("completion_tokens").GetInt32()),
        };
    }

    private static string TextOf(JsonElement choice)
    {
        if (Optional(choice, "text") is { } text) return text.GetString() ?? "";
        return Optional(choice, "delta") is { } delta && Optional(delta, "content") is { } content ? content.GetString() ?? "" : "";
    }

    private static List<TokenLogprob> LogprobsOf(JsonElement choice)
    {
        if (Optional(choice, "logprobs") is not { } logprobs) return [];
        if (Optional(logprobs, "content") is { } content)
        {
            return [.. content.EnumerateArray().Select(token => new TokenLogprob(
                Token(token), token.GetProperty("logprob").GetSingle(),
                [.. token.GetProperty("top_logprobs").EnumerateArray().Select(top => (Token(top), top.GetProperty("logprob").GetSingle()))]))];
        }

        if (Optional(logprobs, "tokens") is not { } tokens) return [];
        var (values, tops) = (logprobs.GetProperty("token_logprobs"), Optional(logprobs, "top_logprobs"));
        return [.. tokens.EnumerateArray().Select((token, i) => new TokenLogprob(
            token.GetString() ?? "", values[i].ValueKind == JsonValueKind.Null ? 0 : values[i].GetSingle(),
            tops is { } all && all[i].ValueKind == JsonValueKind.Object ? [.. all[i].EnumerateObject().Select(top => (top.Name, top.Value.GetSingle()))] : []))];
    }

    private static string Token(JsonElement token) => token.GetProperty("token").GetString() ?? "";

    private static JsonElement? Optional(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;
}

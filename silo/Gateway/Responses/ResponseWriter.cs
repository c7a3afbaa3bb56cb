using System.Buffers;
using System.Text.Json;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Where a response is.</summary>
/// <param name="Status">The response's.</param>
/// <param name="Answer">What has been generated; null before the first token.</param>
internal readonly record struct ResponseState(string Status, ChoiceText? Answer = null, Usage? Usage = null, DateTimeOffset? Completed = null, ApiException? Error = null)
{
    public static ResponseState InProgress => new("in_progress");

    /// <param name="now">When it ended.</param>
    public static ResponseState Ended(ChoiceText answer, Usage usage, DateTimeOffset now) => IsCut(answer) ? new("incomplete", answer, usage) : new("completed", answer, usage, now);

    /// <summary>Whether the answer ended because it may not be longer.</summary>
    public static bool IsCut(ChoiceText answer) => answer.FinishReason != "stop";
}

/// <summary>Writes one response object and what it consists of.</summary>
internal sealed class ResponseWriter(ResponsePlan plan)
{
    private readonly GenerationPlan _generation = plan.Generation;

    /// <summary>The object as it is stored: log-probabilities, many times the text, are told once.</summary>
    public byte[] ToStored(in ResponseState state)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Json.WriterOptions)) Write(json, state, withLogprobs: false);
        return buffer.WrittenSpan.ToArray();
    }

    public void Write(Utf8JsonWriter json, in ResponseState state, bool withLogprobs = true)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, _generation.Id);
        json.WriteString("object"u8, "response"u8);
        json.WriteNumber("created_at"u8, _generation.Created.ToUnixTimeSeconds());
        json.WriteString("status"u8, state.Status);
        if (state.Completed is { } completed) json.WriteNumber("completed_at"u8, completed.ToUnixTimeSeconds());
        else json.WriteNull("completed_at"u8);
        json.WriteBoolean("background"u8, false);
        WriteEnd(json, state);
        json.WriteStartArray("output"u8);
        if (state.Answer is { } answer) WriteItem(json, answer, state.Status == "completed" ? "completed" : "incomplete", withLogprobs);
        json.WriteEndArray();
        WriteSettings(json);
        if (state.Usage is { } usage) WriteUsage(json, usage);
        json.WriteEndObject();
    }

    /// <summary>The message that the answer is; without content where there is no answer yet.</summary>
    public void WriteItem(Utf8JsonWriter json, ChoiceText? answer, string status, bool withLogprobs = true)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, plan.MessageId);
        json.WriteString("type"u8, "message"u8);
        json.WriteString("status"u8, status);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteStartArray("content"u8);
        if (answer is not null) WritePart(json, answer, withLogprobs);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>The text that the message consists of.</summary>
    public void WritePart(Utf8JsonWriter json, ChoiceText answer, bool withLogprobs = true)
    {
        json.WriteStartObject();
        json.WriteString("type"u8, "output_text"u8);
        json.WriteString("text"u8, answer.Text.ToString());
        json.WriteStartArray("annotations"u8);
        json.WriteEndArray();
        ResponseLogprobs.Write(json, _generation.Model.Tokenizer, withLogprobs ? answer.Logprobs : []);
        json.WriteEndObject();
    }

    private static void WriteEnd(Utf8JsonWriter json, in ResponseState state)
    {
        if (state.Error is { } error)
        {
            json.WriteStartObject("error"u8);
            json.WriteString("code"u8, error.Status == StatusCodes.Status429TooManyRequests ? "rate_limit_exceeded"u8 : "server_error"u8);
            json.WriteString("message"u8, error.Message);
            json.WriteEndObject();
        }
        else
        {
            json.WriteNull("error"u8);
        }

        if (state.Status == "incomplete")
        {
            json.WriteStartObject("incomplete_details"u8);
            json.WriteString("reason"u8, "max_output_tokens"u8);
            json.WriteEndObject();
        }
        else
        {
            json.WriteNull("incomplete_details"u8);
        }
    }

    /// <summary>What was asked for, with what is used where nothing was.</summary>
    private void WriteSettings(Utf8JsonWriter json)
    {
        var sampling = _generation.Sampling[0];
        json.WriteString("model"u8, _generation.Model.Name);
        json.WriteString("instructions"u8, plan.Instructions);
        json.WriteString("previous_response_id"u8, plan.PreviousResponseId);
        WriteInteger(json, "max_output_tokens"u8, plan.MaxOutputTokens);
        WriteInteger(json, "max_tool_calls"u8, plan.MaxToolCalls);
        json.WriteBoolean("parallel_tool_calls"u8, plan.ParallelToolCalls);
        json.WritePropertyName("tools"u8);
        plan.Tools.WriteTo(json);
        json.WriteString("tool_choice"u8, plan.ToolChoice);
        json.WriteNumber("temperature"u8, sampling.Temperature);
        json.WriteNumber("top_p"u8, sampling.TopP);
        json.WriteNumber("top_logprobs"u8, plan.TopLogprobs ?? 0);
        json.WriteString("truncation"u8, plan.Truncation);
        json.WriteStartObject("text"u8);
        json.WriteStartObject("format"u8);
        json.WriteString("type"u8, "text"u8);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("reasoning"u8);
        json.WriteNull("effort"u8);
        json.WriteNull("summary"u8);
        json.WriteEndObject();
        json.WriteBoolean("store"u8, plan.Store);
        json.WriteString("service_tier"u8, "default"u8);
        json.WritePropertyName("metadata"u8);
        plan.Metadata.WriteTo(json);
        json.WriteString("safety_identifier"u8, plan.SafetyIdentifier);
        json.WriteString("prompt_cache_key"u8, plan.PromptCacheKey);
        if (plan.User is not null) json.WriteString("user"u8, plan.User); // The one that may not be null.
    }

    private static void WriteUsage(Utf8JsonWriter json, in Usage usage)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("input_tokens"u8, usage.PromptTokens);
        json.WriteStartObject("input_tokens_details"u8);
        json.WriteNumber("cached_tokens"u8, usage.CachedPromptTokens);
        json.WriteNumber("cache_write_tokens"u8, 0); // Those that were asked to be cached; here it needs no asking.
        json.WriteEndObject();
        json.WriteNumber("output_tokens"u8, usage.CompletionTokens);
        json.WriteStartObject("output_tokens_details"u8);
        json.WriteNumber("reasoning_tokens"u8, 0);
        json.WriteEndObject();
        json.WriteNumber("total_tokens"u8, usage.PromptTokens + usage.CompletionTokens);
        json.WriteEndObject();
    }

    private static void WriteInteger(Utf8JsonWriter json, ReadOnlySpan<byte> name, int? value)
    {
        if (value is { } number) json.WriteNumber(name, number);
        else json.WriteNull(name);
    }
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Client;

/// <summary>Writes requests as the gateway reads them: OpenAI's fields and those that vLLM adds.</summary>
internal static class RequestJson
{
    public static ReadOnlyMemory<byte> Chat(ChatRequest request, string? model) => Write(json =>
    {
        WriteSettings(json, model, request.Settings, chat: true);
        if (request.Settings.TopLogprobs is { } top)
        {
            json.WriteBoolean("logprobs"u8, true);
            json.WriteNumber("top_logprobs"u8, top);
        }

        json.WriteStartArray("messages"u8);
        foreach (var turn in request.Messages) WriteTurn(json, turn);
        json.WriteEndArray();
        WriteNode(json, "tools", request.Tools);
        WriteNode(json, "documents", request.Documents);
        WriteNode(json, "chat_template_kwargs", request.TemplateVariables);
    });

    public static ReadOnlyMemory<byte> Completion(CompletionRequest request, string? model) => Write(json =>
    {
        WriteSettings(json, model, request.Settings, chat: false);
        if (request.Settings.TopLogprobs is { } top) json.WriteNumber("logprobs"u8, top);
        if (request.Prompt is { } text) json.WriteString("prompt"u8, text);
        if (request.PromptTokenIds is { } ids) WriteIds(json, "prompt", ids);
    });

    public static ReadOnlyMemory<byte> Embedding(EmbeddingRequest request, string? model) => Write(json =>
    {
        if (model is not null) json.WriteString("model"u8, model);
        json.WriteStartArray("input"u8);
        foreach (var input in request.Inputs) json.WriteStringValue(input);
        json.WriteEndArray();
        if (request.Dimensions is { } dimensions) json.WriteNumber("dimensions"u8, dimensions);
        json.WriteString("encoding_format"u8, "base64"u8);
    });

    public static ReadOnlyMemory<byte> Tokenize(string? model, string text, bool addSpecialTokens) => Write(json =>
    {
        if (model is not null) json.WriteString("model"u8, model);
        json.WriteString("prompt"u8, text);
        json.WriteBoolean("add_special_tokens"u8, addSpecialTokens);
    });

    public static ReadOnlyMemory<byte> Detokenize(string? model, IReadOnlyList<int> ids) => Write(json =>
    {
        if (model is not null) json.WriteString("model"u8, model);
        WriteIds(json, "tokens", ids);
    });

    private static ReadOnlyMemory<byte> Write(Action<Utf8JsonWriter> fields)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            fields(json);
            json.WriteEndObject();
        }

        return buffer.WrittenMemory;
    }

    /// <summary>What is null is left out: the gateway knows the model's defaults.</summary>
    private static void WriteSettings(Utf8JsonWriter json, string? model, GenerationSettings settings, bool chat)
    {
        if (model is not null) json.WriteString("model"u8, model);
        json.WriteBoolean("stream"u8, true);
        json.WriteStartObject("stream_options"u8);
        json.WriteBoolean("include_usage"u8, true);
        json.WriteEndObject();
        if (settings.Choices != 1) json.WriteNumber("n"u8, settings.Choices);
        WriteNumber(json, SettingsRules.MaxTokensName(chat), settings.MaxTokens);
        WriteNumber(json, "min_tokens", settings.MinTokens);
        WriteNumber(json, "temperature", settings.Temperature);
        WriteNumber(json, "top_p", settings.TopP);
        WriteNumber(json, "top_k", settings.TopK);
        WriteNumber(json, "min_p", settings.MinP);
        WriteNumber(json, "repetition_penalty", settings.RepetitionPenalty);
        WriteNumber(json, "presence_penalty", settings.PresencePenalty);
        WriteNumber(json, "frequency_penalty", settings.FrequencyPenalty);
        if (settings.Seed is { } seed) json.WriteNumber("seed"u8, seed);
        if (settings.IgnoreEos) json.WriteBoolean("ignore_eos"u8, true);
        if (settings.CacheSalt is { } salt) json.WriteString("cache_salt"u8, salt);
        if (settings.SessionId is { } session) json.WriteString("session_id"u8, session);
        if (settings.StopTokenIds.Count > 0) WriteIds(json, "stop_token_ids", settings.StopTokenIds);
        if (settings.Stops.Count > 0)
        {
            json.WriteStartArray("stop"u8);
            foreach (var stop in settings.Stops) json.WriteStringValue(stop);
            json.WriteEndArray();
        }

        if (settings.LogitBias is not { Count: > 0 } biases) return;
        json.WriteStartObject("logit_bias"u8);
        foreach (var (id, bias) in biases) json.WriteNumber(id.ToString(CultureInfo.InvariantCulture), bias);
        json.WriteEndObject();
    }

    private static void WriteTurn(Utf8JsonWriter json, ChatTurn turn)
    {
        json.WriteStartObject();
        json.WriteString("role"u8, turn.Role);
        json.WriteString("content"u8, turn.Content);
        if (turn.Name is { } name) json.WriteString("name"u8, name);
        if (turn.ToolCallId is { } call) json.WriteString("tool_call_id"u8, call);
        WriteNode(json, "tool_calls", turn.ToolCalls);
        json.WriteEndObject();
    }

    private static void WriteIds(Utf8JsonWriter json, string name, IReadOnlyList<int> ids)
    {
        json.WriteStartArray(name);
        foreach (var id in ids) json.WriteNumberValue(id);
        json.WriteEndArray();
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, int? value)
    {
        if (value is { } number) json.WriteNumber(name, number);
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, float? value)
    {
        if (value is { } number) json.WriteNumber(name, number);
    }

    private static void WriteNode(Utf8JsonWriter json, string name, JsonNode? node)
    {
        if (node is null) return;
        json.WritePropertyName(name);
        node.WriteTo(json);
    }
}

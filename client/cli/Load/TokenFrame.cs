using System.Text.Json;

namespace Granary.Client.Cli.Load;

internal enum FrameKind
{
    /// <summary>Nothing to measure: a role, an end, what we do not know.</summary>
    Other,

    /// <summary>At least one token's text.</summary>
    Text,

    Error,
    Done,
}

/// <summary>What a load test needs of one server-sent event, read without making strings.</summary>
/// <param name="Usage">Tokens as the server counts them, where the frame has them.</param>
internal readonly record struct TokenFrame(FrameKind Kind, FrameUsage? Usage)
{
    /// <summary>Reads a chunk of <c>/v1/chat/completions</c> or <c>/v1/completions</c>, or <c>[DONE]</c>.</summary>
    /// <exception cref="JsonException">It is neither.</exception>
    public static TokenFrame Parse(string eventType, ReadOnlySpan<byte> data)
    {
        if (data.SequenceEqual("[DONE]"u8)) return new TokenFrame(FrameKind.Done, null);
        var reader = new Utf8JsonReader(data);
        var kind = FrameKind.Other;
        FrameUsage? usage = null;
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject) throw new JsonException("A frame is not a JSON object.");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("error"u8))
            {
                if (!IsNull(ref reader)) kind = FrameKind.Error;
            }
            else if (reader.ValueTextEquals("choices"u8))
            {
                if (HasText(ref reader) && kind == FrameKind.Other) kind = FrameKind.Text;
            }
            else if (reader.ValueTextEquals("usage"u8))
            {
                usage = ReadUsage(ref reader);
            }
            else
            {
                reader.Skip();
            }
        }

        return new TokenFrame(kind, usage);
    }

    private static bool IsNull(ref Utf8JsonReader reader)
    {
        reader.Read();
        var isNull = reader.TokenType == JsonTokenType.Null;
        reader.Skip();
        return isNull;
    }

    /// <summary>Whether a choice has text: <c>text</c>, or in its <c>delta</c> the content, the reasoning, or a tool call's.</summary>
    private static bool HasText(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            reader.Skip();
            return false;
        }

        var (text, depth) = (false, reader.CurrentDepth);
        while (reader.Read() && !(reader.TokenType == JsonTokenType.EndArray && reader.CurrentDepth == depth))
        {
            if (reader.TokenType != JsonTokenType.PropertyName) continue;
            if (reader.ValueTextEquals("text"u8) || reader.ValueTextEquals("content"u8)
                || reader.ValueTextEquals("reasoning_content"u8) || reader.ValueTextEquals("arguments"u8))
            {
                reader.Read();
                text |= reader.TokenType == JsonTokenType.String && !reader.ValueSpan.IsEmpty;
                reader.Skip();
            }
            else if (reader.ValueTextEquals("logprobs"u8))
            {
                reader.Skip(); // It has a content of its own.
            }
        }

        return text;
    }

    private static FrameUsage? ReadUsage(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return null;
        }

        var (prompt, cached, completion) = (0L, 0L, 0L);
        var depth = reader.CurrentDepth;
        while (reader.Read() && !(reader.TokenType == JsonTokenType.EndObject && reader.CurrentDepth == depth))
        {
            if (reader.TokenType != JsonTokenType.PropertyName) continue;
            if (reader.ValueTextEquals("prompt_tokens"u8))
                prompt = Number(ref reader, prompt);
            else if (reader.ValueTextEquals("completion_tokens"u8))
                completion = Number(ref reader, completion);
            else if (reader.ValueTextEquals("cached_tokens"u8))
                cached = Number(ref reader, cached);
        }

        return new FrameUsage(prompt, cached, completion);
    }

    private static long Number(ref Utf8JsonReader reader, long otherwise)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var value) ? value : otherwise;
    }
}

/// <param name="Cached">Prompt tokens the server found in its cache; 0 where it does not say.</param>
internal readonly record struct FrameUsage(long Prompt, long Cached, long Completion);

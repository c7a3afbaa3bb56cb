using System.Text.Json;

namespace Granary.Silo.Gateway;

/// <summary>How the two endpoints write the same things: frames of a stream, and whole responses.</summary>
internal abstract class ResponseShape(GenerationPlan plan)
{
    protected GenerationPlan Plan => plan;

    protected abstract string ChunkObject { get; }

    protected abstract string WholeObject { get; }

    /// <summary>Whether a choice's first frame comes before its first text.</summary>
    public abstract bool HasOpening { get; }

    public void WriteOpening(Utf8JsonWriter json, int choice)
    {
        BeginChunk(json, choice);
        WriteOpeningBody(json);
        EndChunk(json, null);
    }

    public void WriteDelta(Utf8JsonWriter json, in ChoiceDelta delta)
    {
        BeginChunk(json, delta.Choice);
        WriteDeltaBody(json, delta);
        EndChunk(json, null);
    }

    public void WriteEnd(Utf8JsonWriter json, in ChoiceEnd end)
    {
        BeginChunk(json, end.Choice);
        WriteEndBody(json);
        EndChunk(json, end.FinishReason);
    }

    /// <summary>The extra last frame, without choices.</summary>
    public void WriteUsageFrame(Utf8JsonWriter json, in Usage usage)
    {
        WriteHead(json, ChunkObject);
        json.WriteStartArray("choices"u8);
        json.WriteEndArray();
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    public void WriteWhole(Utf8JsonWriter json, IReadOnlyList<ChoiceText> choices, in Usage usage)
    {
        WriteHead(json, WholeObject);
        json.WriteStartArray("choices"u8);
        for (var i = 0; i < choices.Count; i++)
        {
            json.WriteStartObject();
            json.WriteNumber("index"u8, i);
            WriteWholeBody(json, choices[i]);
            json.WriteString("finish_reason"u8, choices[i].FinishReason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    protected abstract void WriteOpeningBody(Utf8JsonWriter json);

    protected abstract void WriteDeltaBody(Utf8JsonWriter json, in ChoiceDelta delta);

    protected abstract void WriteEndBody(Utf8JsonWriter json);

    protected abstract void WriteWholeBody(Utf8JsonWriter json, ChoiceText choice);

    public static void WriteUsage(Utf8JsonWriter json, in Usage usage)
    {
        json.WriteStartObject("usage"u8);
        json.WriteNumber("prompt_tokens"u8, usage.PromptTokens);
        json.WriteNumber("completion_tokens"u8, usage.CompletionTokens);
        json.WriteNumber("total_tokens"u8, usage.PromptTokens + usage.CompletionTokens);
        json.WriteStartObject("prompt_tokens_details"u8);
        json.WriteNumber("cached_tokens"u8, usage.CachedPromptTokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void BeginChunk(Utf8JsonWriter json, int choice)
    {
        WriteHead(json, ChunkObject);
        json.WriteStartArray("choices"u8);
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice);
    }

    private void EndChunk(Utf8JsonWriter json, string? finishReason)
    {
        // Null until the end, never empty: clients tell the end by it.
        json.WriteString("finish_reason"u8, finishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        if (plan.IncludeUsage) json.WriteNull("usage"u8);
        json.WriteEndObject();
    }

    private void WriteHead(Utf8JsonWriter json, string kind)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, plan.Id);
        json.WriteString("object"u8, kind);
        json.WriteNumber("created"u8, plan.Created.ToUnixTimeSeconds());
        json.WriteString("model"u8, plan.Model.Name);
        json.WriteString("system_fingerprint"u8, plan.Model.SystemFingerprint);
    }
}

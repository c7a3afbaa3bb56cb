using System.Text.Json;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>How the two endpoints write the same things: frames of a stream, and whole responses.</summary>
internal abstract class ResponseShape(GenerationPlan plan)
{
    // Where every frame tells the usage: each choice's tokens so far, and the last delta of those that are about to end.
    private readonly ChoiceProgress[]? _progress = plan.ContinuousUsage ? new ChoiceProgress[plan.ChoiceCount] : null;
    private readonly ChoiceDelta?[]? _last = plan.ContinuousUsage ? new ChoiceDelta?[plan.ChoiceCount] : null;

    protected GenerationPlan Plan => plan;

    protected abstract string ChunkObject { get; }

    protected abstract string WholeObject { get; }

    /// <summary>Whether a choice's first frame comes before its first text.</summary>
    public abstract bool HasOpening { get; }

    /// <summary>Whether a choice's frames without log-probabilities differ in their text alone.</summary>
    public bool OnlyTextVaries => !plan.ContinuousUsage && !plan.ReturnsTokenIds;

    /// <summary>Takes log-probabilities of a choice's prompt, for the frame that opens it.</summary>
    public virtual void TakePrompt(int choice, TokenLogprobs[] prompt)
    {
    }

    /// <summary>Keeps a choice's last delta for its end where every frame tells the usage: two frames would tell the same.</summary>
    public bool KeepsForEnd(in ChoiceDelta delta)
    {
        if (_last is null || !delta.IsLast) return false;
        _last[delta.Choice] = delta;
        return true;
    }

    public void WriteOpening(Utf8JsonWriter json, int choice)
    {
        BeginChunk(json, choice);
        WriteOpeningBody(json, choice);
        EndChunk(json, null, opens: true);
    }

    public void WriteDelta(Utf8JsonWriter json, in ChoiceDelta delta)
    {
        if (_progress is not null) _progress[delta.Choice] = delta.Progress;
        BeginChunk(json, delta.Choice);
        WriteDeltaBody(json, delta);
        EndChunk(json, null);
    }

    public void WriteEnd(Utf8JsonWriter json, in ChoiceEnd end)
    {
        if (_progress is not null) _progress[end.Choice] = new(end.GeneratedTokens, end.CachedPromptTokens);
        BeginChunk(json, end.Choice);
        if (_last?[end.Choice] is { } last)
            WriteDeltaBody(json, last);
        else
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
            WriteWholeBody(json, i, choices[i]);
            json.WriteString("finish_reason"u8, choices[i].FinishReason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        WritePrompt(json);
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    /// <summary>What the answer tells of its prompt, beside the choices.</summary>
    protected virtual void WritePrompt(Utf8JsonWriter json)
    {
    }

    protected static void WriteIds(Utf8JsonWriter json, ReadOnlySpan<byte> name, IEnumerable<int> ids)
    {
        json.WriteStartArray(name);
        foreach (var id in ids) json.WriteNumberValue(id);
        json.WriteEndArray();
    }

    protected abstract void WriteOpeningBody(Utf8JsonWriter json, int choice);

    protected abstract void WriteDeltaBody(Utf8JsonWriter json, in ChoiceDelta delta);

    protected abstract void WriteEndBody(Utf8JsonWriter json);

    protected abstract void WriteWholeBody(Utf8JsonWriter json, int index, ChoiceText choice);

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

    private void EndChunk(Utf8JsonWriter json, string? finishReason, bool opens = false)
    {
        // Null until the end, never empty: clients tell the end by it.
        json.WriteString("finish_reason"u8, finishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        if (opens) WritePrompt(json);
        if (_progress is not null)
            WriteUsage(json, Usage.Of(plan, _progress));
        else if (plan.IncludeUsage)
            json.WriteNull("usage"u8);
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

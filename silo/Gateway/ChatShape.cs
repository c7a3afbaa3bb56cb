using System.Text.Json;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>The chat endpoint's frames and responses.</summary>
internal sealed class ChatShape(GenerationPlan plan) : ResponseShape(plan)
{
    protected override string ChunkObject => "chat.completion.chunk";

    protected override string WholeObject => "chat.completion";

    public override bool HasOpening => true;

    protected override void WriteOpeningBody(Utf8JsonWriter json, int choice)
    {
        json.WriteStartObject("delta"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("content"u8, ""u8);
        json.WriteEndObject();
        json.WriteNull("logprobs"u8);
    }

    protected override void WriteDeltaBody(Utf8JsonWriter json, in ChoiceDelta delta)
    {
        json.WriteStartObject("delta"u8);
        json.WriteString("content"u8, delta.Text);
        json.WriteEndObject();
        if (delta.Logprobs is { } logprobs)
            WriteLogprobs(json, [(delta.TokenId, logprobs)]);
        else
            json.WriteNull("logprobs"u8);
        if (Plan.ReturnsTokenIds && delta.TokenId >= 0) WriteIds(json, "token_ids"u8, [delta.TokenId]);
    }

    protected override void WritePrompt(Utf8JsonWriter json)
    {
        if (Plan.ReturnsTokenIds) WriteIds(json, "prompt_token_ids"u8, Plan.Prompts[0]);
    }

    protected override void WriteEndBody(Utf8JsonWriter json)
    {
        json.WriteStartObject("delta"u8);
        json.WriteEndObject();
        json.WriteNull("logprobs"u8);
    }

    protected override void WriteWholeBody(Utf8JsonWriter json, int index, ChoiceText choice)
    {
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("content"u8, choice.Text.ToString());
        json.WriteNull("refusal"u8);
        json.WriteEndObject();
        if (Plan.Logprobs is null)
            json.WriteNull("logprobs"u8);
        else
            WriteLogprobs(json, choice.Logprobs);
        if (Plan.ReturnsTokenIds) WriteIds(json, "token_ids"u8, choice.TokenIds);
    }

    private void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<(int TokenId, TokenLogprobs Logprobs)> tokens)
    {
        json.WriteStartObject("logprobs"u8);
        json.WriteStartArray("content"u8);
        foreach (var (id, logprobs) in tokens)
        {
            json.WriteStartObject();
            TokenText.WriteFields(json, Plan.Model.Tokenizer, id, logprobs.Chosen);
            json.WriteStartArray("top_logprobs"u8);
            for (var i = 0; i < logprobs.TopTokenIds.Length; i++)
            {
                json.WriteStartObject();
                TokenText.WriteFields(json, Plan.Model.Tokenizer, logprobs.TopTokenIds[i], logprobs.Top[i]);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNull("refusal"u8);
        json.WriteEndObject();
    }
}

using System.Text.Json;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>The completion endpoint's frames and responses.</summary>
internal sealed class CompletionShape(GenerationPlan plan) : ResponseShape(plan)
{
    // Characters of each choice so far: text_offset counts them across frames.
    private readonly int[] _offsets = new int[plan.ChoiceCount];

    protected override string ChunkObject => "text_completion";

    protected override string WholeObject => "text_completion";

    public override bool HasOpening => false;

    protected override void WriteOpeningBody(Utf8JsonWriter json)
    {
        json.WriteString("text"u8, ""u8);
        json.WriteNull("logprobs"u8);
    }

    protected override void WriteDeltaBody(Utf8JsonWriter json, in ChoiceDelta delta)
    {
        json.WriteString("text"u8, delta.Text);
        if (delta.Logprobs is { } logprobs)
            WriteLogprobs(json, [(delta.TokenId, logprobs)], ref _offsets[delta.Choice]);
        else
            json.WriteNull("logprobs"u8);
    }

    protected override void WriteEndBody(Utf8JsonWriter json) => WriteOpeningBody(json);

    protected override void WriteWholeBody(Utf8JsonWriter json, ChoiceText choice)
    {
        json.WriteString("text"u8, choice.Text.ToString());
        var offset = 0;
        if (Plan.Sampling[0].TopLogprobs is null)
            json.WriteNull("logprobs"u8);
        else
            WriteLogprobs(json, choice.Logprobs, ref offset);
    }

    private void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<(int TokenId, TokenLogprobs Logprobs)> tokens, ref int offset)
    {
        var tokenizer = Plan.Model.Tokenizer;
        json.WriteStartObject("logprobs"u8);
        json.WriteStartArray("tokens"u8);
        foreach (var (id, _) in tokens) json.WriteStringValue(TokenText.Of(tokenizer, id).Text);
        json.WriteEndArray();
        json.WriteStartArray("token_logprobs"u8);
        foreach (var (_, logprobs) in tokens) json.WriteNumberValue(TokenText.Finite(logprobs.Chosen));
        json.WriteEndArray();
        json.WriteStartArray("top_logprobs"u8);
        foreach (var (_, logprobs) in tokens) WriteTop(json, logprobs);
        json.WriteEndArray();
        json.WriteStartArray("text_offset"u8);
        foreach (var (id, _) in tokens)
        {
            json.WriteNumberValue(offset);
            offset += TokenText.Of(tokenizer, id).Text.Length;
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <remarks>An object by text: of two tokens with one text, the likelier stays.</remarks>
    private void WriteTop(Utf8JsonWriter json, TokenLogprobs logprobs)
    {
        var written = new HashSet<string>(StringComparer.Ordinal);
        json.WriteStartObject();
        for (var i = 0; i < logprobs.TopTokenIds.Length; i++)
        {
            var text = TokenText.Of(Plan.Model.Tokenizer, logprobs.TopTokenIds[i]).Text;
            if (written.Add(text)) json.WriteNumber(text, TokenText.Finite(logprobs.Top[i]));
        }

        json.WriteEndObject();
    }
}

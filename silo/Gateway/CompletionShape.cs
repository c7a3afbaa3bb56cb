using System.Text.Json;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>The completion endpoint's frames and responses.</summary>
internal sealed class CompletionShape(GenerationPlan plan) : ResponseShape(plan)
{
    // Characters of each choice so far: text_offset counts them across frames.
    private readonly int[] _offsets = new int[plan.ChoiceCount];
    private readonly TokenLogprobs[]?[] _prompts = new TokenLogprobs[]?[plan.ChoiceCount];

    protected override string ChunkObject => "text_completion";

    protected override string WholeObject => "text_completion";

    /// <remarks>What the answer tells of the prompt comes in a frame of its own.</remarks>
    public override bool HasOpening => Plan.Echo is not null || Plan.ReturnsTokenIds;

    public override void TakePrompt(int choice, TokenLogprobs[] prompt) => _prompts[choice] = prompt;

    protected override void WriteOpeningBody(Utf8JsonWriter json, int choice)
    {
        var prompt = choice / Plan.ChoicesPerPrompt;
        json.WriteString("text"u8, Plan.Echo?[prompt] ?? "");
        if (_prompts[choice] is { } logprobs)
            WriteLogprobs(json, [.. EchoOf(prompt, logprobs)], ref _offsets[choice]);
        else
            WriteNoLogprobs(json, choice, prompt);
        if (Plan.ReturnsTokenIds) WriteIds(json, "prompt_token_ids"u8, Plan.Prompts[prompt]);
    }

    protected override void WriteDeltaBody(Utf8JsonWriter json, in ChoiceDelta delta)
    {
        json.WriteString("text"u8, delta.Text);
        if (delta.Logprobs is { } logprobs)
            WriteLogprobs(json, [(delta.TokenId, logprobs)], ref _offsets[delta.Choice]);
        else
            json.WriteNull("logprobs"u8);
        if (Plan.ReturnsTokenIds && delta.TokenId >= 0) WriteIds(json, "token_ids"u8, [delta.TokenId]);
    }

    protected override void WriteEndBody(Utf8JsonWriter json)
    {
        json.WriteString("text"u8, ""u8);
        json.WriteNull("logprobs"u8);
    }

    protected override void WriteWholeBody(Utf8JsonWriter json, int index, ChoiceText choice)
    {
        var prompt = index / (Plan.BestOfPrompt ?? Plan.ChoicesPerPrompt);
        json.WriteString("text"u8, Plan.Echo is { } echo ? echo[prompt] + choice.Text : choice.Text.ToString());
        var offset = 0;
        if (Plan.Logprobs is null)
            json.WriteNull("logprobs"u8);
        else if (choice.PromptLogprobs is { } logprobs)
            WriteLogprobs(json, [.. EchoOf(prompt, logprobs), .. choice.Logprobs], ref offset);
        else
            WriteLogprobs(json, [.. choice.Logprobs], ref offset);
        if (!Plan.ReturnsTokenIds) return;
        WriteIds(json, "prompt_token_ids"u8, Plan.Prompts[prompt]);
        WriteIds(json, "token_ids"u8, choice.TokenIds);
    }

    /// <remarks>Where a client that comes back has had this frame, the prompt's log-probabilities are not there again; offsets count its tokens all the same.</remarks>
    private void WriteNoLogprobs(Utf8JsonWriter json, int choice, int prompt)
    {
        json.WriteNull("logprobs"u8);
        if (Plan.Echo is null || Plan.Logprobs is null) return;
        foreach (var id in Plan.Prompts[prompt]) _offsets[choice] += TokenText.Of(Plan.Model.Tokenizer, id).Length;
    }

    /// <summary>The prompt's tokens with their log-probabilities; nothing precedes the first, so it has none.</summary>
    private IEnumerable<(int TokenId, TokenLogprobs? Logprobs)> EchoOf(int prompt, TokenLogprobs[] logprobs) =>
        Plan.Prompts[prompt].Select((id, i) => (id, i == 0 ? null : logprobs[i - 1]));

    private void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<(int TokenId, TokenLogprobs? Logprobs)> tokens, ref int offset)
    {
        var tokenizer = Plan.Model.Tokenizer;
        json.WriteStartObject("logprobs"u8);
        json.WriteStartArray("tokens"u8);
        foreach (var (id, _) in tokens) json.WriteStringValue(TokenText.Of(tokenizer, id));
        json.WriteEndArray();
        json.WriteStartArray("token_logprobs"u8);
        foreach (var (_, logprobs) in tokens)
        {
            if (logprobs is null)
                json.WriteNullValue();
            else
                json.WriteNumberValue(TokenText.Finite(logprobs.Chosen));
        }

        json.WriteEndArray();
        json.WriteStartArray("top_logprobs"u8);
        foreach (var (_, logprobs) in tokens)
        {
            if (logprobs is null)
                json.WriteNullValue();
            else
                WriteTop(json, logprobs);
        }

        json.WriteEndArray();
        json.WriteStartArray("text_offset"u8);
        foreach (var (id, _) in tokens)
        {
            json.WriteNumberValue(offset);
            offset += TokenText.Of(tokenizer, id).Length;
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
            var text = TokenText.Of(Plan.Model.Tokenizer, logprobs.TopTokenIds[i]);
            if (written.Add(text)) json.WriteNumber(text, TokenText.Finite(logprobs.Top[i]));
        }

        json.WriteEndObject();
    }
}

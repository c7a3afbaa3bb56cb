namespace Granary.Silo.Gateway;

/// <summary>Fields of OpenAI's and vLLM's requests that do nothing here: taken where nothing is lost, refused where their meaning would be.</summary>
internal static class KnownFields
{
    private const string Constrained = "what is generated cannot be constrained";

    public static void Chat(RequestFields fields)
    {
        Common(fields);
        fields.Ignore(
            "audio", "moderation", "prediction", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "safety_identifier",
            "service_tier", "store", "verbosity", "web_search_options", "metadata");
        if (fields.TryGet("modalities", out var modalities) && modalities.GetRawText() is not ("[\"text\"]" or "[]"))
            throw fields.Wrong("modalities", modalities, "[\"text\"]");
    }

    public static void Completion(RequestFields fields)
    {
        Common(fields);
        fields.Refuse("suffix", "the models here continue text, they fill no gaps");
    }

    private static void Common(RequestFields fields)
    {
        fields.Ignore("user", "priority", "request_id", "spaces_between_special_tokens");
        foreach (var name in (ReadOnlySpan<string>)["structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "allowed_token_ids", "bad_words"])
            fields.Refuse(name, Constrained);
        if (fields.GetObject("response_format") is { } format && format.GetString("type", 64) is var type and not "text")
            throw ApiException.Unsupported("response_format", $"response_format.type is '{type}'; only 'text' is supported.");
        fields.Refuse("use_beam_search", "beams are not searched; n and best_of are taken");
        fields.Refuse("prompt_logprobs", "a prompt's log-probabilities are told by echo and logprobs of /v1/completions");
    }
}

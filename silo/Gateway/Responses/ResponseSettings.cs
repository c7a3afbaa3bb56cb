using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Reads the fields that are only repeated, and refuses by name those whose meaning would be lost if they were ignored.</summary>
internal static class ResponseSettings
{
    private const string IncludeLogprobs = "message.output_text.logprobs";
    private const int MaxMetadata = 16;
    private const int MaxMetadataKey = 64;
    private const int MaxMetadataValue = 512;

    /// <exception cref="ApiException">The request asks for what there is not.</exception>
    public static void RefuseUnsupported(RequestFields fields)
    {
        if (fields.GetBoolean("background", false))
            throw ApiException.Unsupported("background", "background is true; responses are answered at once, not in the background.");
        fields.Refuse("conversation", "previous_response_id goes on from a response");
        fields.Refuse("prompt", "prompts are not kept here; instructions are taken");
        fields.Refuse("moderation", "nothing is moderated here");
        fields.Refuse("context_management", "truncation is taken");
        fields.Ignore("prompt_cache_options", "prompt_cache_retention", "priority", "request_id");

        RefuseFormat(fields);
        RefuseReasoning(fields);
        if (fields.GetString("service_tier", 32) is { } tier && tier is not ("auto" or "default"))
            throw ApiException.Unsupported("service_tier", $"service_tier is '{tier}'; there is only 'default'.");
        fields.GetObject("stream_options")?.Ignore("include_obfuscation");
    }

    /// <summary>Log-probabilities come only where they are included; the number of alternatives alone asks for none.</summary>
    /// <returns>Whether they are included.</returns>
    public static bool ReadIncludesLogprobs(RequestFields fields)
    {
        const string Name = "include";
        if (!fields.TryGet(Name, out var list)) return false;
        if (list.ValueKind != JsonValueKind.Array) throw fields.Wrong(Name, list, "a list of strings");
        var included = false;
        foreach (var entry in list.EnumerateArray())
        {
            var wanted = entry.ValueKind == JsonValueKind.String ? RequestText.Read(Name, entry) : null;
            if (!Includable(wanted)) throw ApiException.Unsupported(Name, $"{Name} has an entry that is not supported; '{IncludeLogprobs}' is.");
            included |= wanted == IncludeLogprobs;
        }

        return included;
    }

    /// <exception cref="ApiException">There are too many pairs, or one is too long or no pair of strings.</exception>
    public static JsonObject ReadMetadata(RequestFields fields)
    {
        const string Name = "metadata";
        if (!fields.TryGet(Name, out var value)) return [];
        if (value.ValueKind != JsonValueKind.Object) throw fields.Wrong(Name, value, "an object of strings");
        var metadata = RequestText.ReadJson(Name, value)!.AsObject();
        if (metadata.Count > MaxMetadata) throw ApiException.Invalid(Name, $"{Name} has {metadata.Count} pairs; at most {MaxMetadata} are taken.");
        foreach (var (key, text) in metadata)
        {
            if (key.Length > MaxMetadataKey) throw ApiException.Invalid(Name, $"{Name} has a key of {key.Length} characters; at most {MaxMetadataKey} are taken.");
            if (text?.GetValueKind() != JsonValueKind.String || ((string)text!).Length > MaxMetadataValue)
                throw ApiException.Invalid(Name, $"{Name} has a value that is not a string of at most {MaxMetadataValue} characters.");
        }

        return metadata;
    }

    public static string ReadTruncation(RequestFields fields) => fields.GetString("truncation", 32) switch
    {
        null or "disabled" => "disabled",
        "auto" => "auto",
        var other => throw ApiException.Invalid("truncation", $"truncation is '{other}'; it must be auto or disabled."),
    };

    private static void RefuseFormat(RequestFields fields)
    {
        if (fields.GetObject("text") is not { } text) return;
        if (text.GetString("verbosity", 32) is { } verbosity && verbosity != "medium")
            throw ApiException.Unsupported("text.verbosity", $"text.verbosity is '{verbosity}'; only 'medium' is supported.");
        if (text.GetObject("format") is { } format && format.GetString("type", 64) is var type && type != "text")
            throw ApiException.Unsupported("text.format.type", $"text.format.type is '{type}'; only 'text' is supported.");
    }

    private static void RefuseReasoning(RequestFields fields)
    {
        if (fields.GetObject("reasoning") is not { } reasoning) return;
        foreach (var name in (ReadOnlySpan<string>)["effort", "summary", "generate_summary"]) reasoning.Refuse(name, "models answer without reasoning here");
    }

    /// <summary>What else the API can include belongs to items that are never answered here, so that including it adds nothing.</summary>
    private static bool Includable(string? name) => name is
        IncludeLogprobs or "file_search_call.results" or "web_search_call.results" or "web_search_call.action.sources" or "message.input_image.image_url"
        or "computer_call_output.output.image_url" or "code_interpreter_call.outputs" or "reasoning.encrypted_content";
}

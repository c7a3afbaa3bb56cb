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
        if (fields.GetBoolean("background", false)) throw ApiException.Invalid("background", "background is true; responses are answered at once, not in the background.");
        foreach (var name in (ReadOnlySpan<string>)["conversation", "prompt", "moderation", "context_management"])
        {
            if (fields.TryGet(name, out var value) && !IsEmptyList(value)) throw ApiException.Invalid(name, $"{name} is not supported.");
        }

        RefuseFormat(fields);
        RefuseReasoning(fields);
        if (fields.GetString("service_tier", 32) is { } tier && tier is not ("auto" or "default"))
            throw ApiException.Invalid("service_tier", $"service_tier is '{tier}'; there is only 'default'.");
        if (Nested(fields, "stream_options") is { } stream && stream.GetBoolean("include_obfuscation", false))
            throw ApiException.Invalid("stream_options.include_obfuscation", "stream_options.include_obfuscation is true; it is not supported.");
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
            if (!Includable(wanted)) throw ApiException.Invalid(Name, $"{Name} has an entry that is not supported; '{IncludeLogprobs}' is.");
            included |= wanted == IncludeLogprobs;
        }

        return included;
    }

    /// <exception cref="ApiException">There are too many pairs, or one is too long or no pair of strings.</exception>
    public static JsonObject ReadMetadata(RequestFields fields)
    {
        const string Name = "metadata";
        if (!fields.TryGet(Name, out var value)) return [];
        if (value.ValueKind != JsonValueKind.Object || !RequestJson.TryCopy(value, out var copy))
            throw fields.Wrong(Name, value, "an object of strings that names no key twice and is valid Unicode");
        var metadata = copy!.AsObject();
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
        if (Nested(fields, "text") is not { } text) return;
        if (text.GetString("verbosity", 32) is { } verbosity && verbosity != "medium")
            throw ApiException.Invalid("text.verbosity", $"text.verbosity is '{verbosity}'; only 'medium' is supported.");
        if (Nested(text, "format", "text.") is { } format && format.GetString("type", 64) is var type && type != "text")
            throw ApiException.Invalid("text.format.type", $"text.format.type is '{type}'; only 'text' is supported.");
    }

    private static void RefuseReasoning(RequestFields fields)
    {
        if (!fields.TryGet("reasoning", out var reasoning)) return;
        if (reasoning.ValueKind != JsonValueKind.Object) throw fields.Wrong("reasoning", reasoning, "an object");
        foreach (var setting in reasoning.EnumerateObject())
        {
            if (setting.Value.ValueKind != JsonValueKind.Null) throw ApiException.Invalid("reasoning", "reasoning is not supported; its fields must be null.");
        }
    }

    private static RequestFields? Nested(RequestFields fields, string name, string prefix = "")
    {
        if (!fields.TryGet(name, out var value)) return null;
        return value.ValueKind == JsonValueKind.Object ? new RequestFields(value, $"{prefix}{name}.") : throw fields.Wrong(name, value, "an object");
    }

    private static bool IsEmptyList(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0;

    /// <summary>What else the API can include belongs to items that are never answered here, so that including it adds nothing.</summary>
    private static bool Includable(string? name) => name is
        IncludeLogprobs or "file_search_call.results" or "web_search_call.results" or "web_search_call.action.sources" or "message.input_image.image_url"
        or "computer_call_output.output.image_url" or "code_interpreter_call.outputs" or "reasoning.encrypted_content";
}

using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Reads <c>input</c>: text, or a list of items. Items come out in the form in which the API lists them, each with an id.</summary>
internal static class ResponseItems
{
    private const string Name = "input";
    private const int MaxItems = 4096;
    private const int MaxParts = 4096;
    private const string Roles = "user, system, developer or assistant";
    private const int MaxIdLength = 64;
    private const int MaxNameLength = 128;

    /// <exception cref="ApiException">It is neither, or an item is not one that is taken.</exception>
    public static List<JsonObject> Read(RequestFields fields)
    {
        if (!fields.TryGet(Name, out var input)) throw fields.Missing(Name, "text or a list of items");
        if (input.ValueKind == JsonValueKind.String) return [Message("user", null, [TextPart("user", RequestText.Read(Name, input))])];
        if (input.ValueKind != JsonValueKind.Array) throw fields.Wrong(Name, input, $"text or a list of 1 to {MaxItems} items");
        return [.. fields.GetObjects(Name, 1, MaxItems)!.Select(ReadItem)];
    }

    private static JsonObject ReadItem(RequestFields fields)
    {
        // Given back by whoever lists a response's items or repeats its output; what is taken in is complete by that.
        var id = fields.GetString("id", MaxIdLength);
        fields.Ignore("status");
        return fields.GetString("type", 64) switch
        {
            null or "message" => ReadMessage(fields, id),
            "function_call" => new JsonObject
            {
                ["id"] = id ?? ResponseIds.New("fc"),
                ["type"] = "function_call",
                ["call_id"] = Required(fields, "call_id", MaxIdLength),
                ["name"] = Required(fields, "name", MaxNameLength),
                ["arguments"] = Required(fields, "arguments", int.MaxValue),
                ["status"] = "completed",
            },
            "function_call_output" => new JsonObject
            {
                ["id"] = id ?? ResponseIds.New("fco"),
                ["type"] = "function_call_output",
                ["call_id"] = Required(fields, "call_id", MaxIdLength),
                ["output"] = ReadOutput(fields),
                ["status"] = "completed",
            },
            var type => throw ApiException.Unsupported(
                fields.PathOf("type"), $"{fields.PathOf("type")} is '{type}'; items of type message, function_call and function_call_output are taken."),
        };
    }

    private static JsonObject ReadMessage(RequestFields fields, string? id)
    {
        const string Wanted = "text or a list of text parts";
        fields.Ignore("phase"); // Says which of a model's messages is the answer; templates have no place for it.
        var role = fields.GetString("role", 32) ?? throw fields.Missing("role", Roles);
        if (role is not ("user" or "system" or "developer" or "assistant"))
            throw ApiException.Invalid(fields.PathOf("role"), $"{fields.PathOf("role")} is '{role}'; it must be {Roles}.");
        if (!fields.TryGet("content", out var content)) throw fields.Missing("content", Wanted);
        if (content.ValueKind == JsonValueKind.String) return Message(role, id, [TextPart(role, RequestText.Read(fields.PathOf("content"), content))]);
        if (content.ValueKind != JsonValueKind.Array) throw fields.Wrong("content", content, Wanted);
        return Message(role, id, ReadParts(fields, "content", role));
    }

    private static JsonArray ReadParts(RequestFields fields, string name, string role) =>
        new([.. fields.GetObjects(name, 0, MaxParts)!.Select(part => ReadPart(part, role))]);

    private static JsonObject ReadPart(RequestFields part, string role)
    {
        // Of no use here, and given back with every answer.
        part.Ignore("text", "refusal", "annotations", "logprobs", "prompt_cache_breakpoint");
        return part.GetString("type", 64) switch
        {
            "input_text" or "output_text" => TextPart(role, Required(part, "text", int.MaxValue)),
            "refusal" when role == "assistant" => new JsonObject { ["type"] = "refusal", ["refusal"] = Required(part, "refusal", int.MaxValue) },
            var type => throw ApiException.Unsupported(
                part.PathOf("type"), $"{part.PathOf("type")} is '{type}'; only text is taken: input_text, output_text, and refusal of an assistant."),
        };
    }

    /// <summary>Text, or a list of text parts, which become one text.</summary>
    private static string ReadOutput(RequestFields fields)
    {
        if (!fields.TryGet("output", out var output) || output.ValueKind != JsonValueKind.Array) return Required(fields, "output", int.MaxValue);
        return string.Join('\n', ReadParts(fields, "output", "user").Select(part => (string)part!["text"]!));
    }

    private static string Required(RequestFields fields, string name, int maxLength) => fields.GetString(name, maxLength) ?? throw fields.Missing(name, "a string");

    private static JsonObject Message(string role, string? id, JsonArray content) => new()
    {
        ["id"] = id ?? ResponseIds.New("msg"),
        ["type"] = "message",
        ["role"] = role,
        ["status"] = "completed",
        ["content"] = content,
    };

    /// <summary>What the assistant wrote is output, whoever sends it.</summary>
    private static JsonObject TextPart(string role, string text) => role == "assistant"
        ? new() { ["type"] = "output_text", ["text"] = text, ["annotations"] = new JsonArray(), ["logprobs"] = new JsonArray() }
        : new() { ["type"] = "input_text", ["text"] = text };
}

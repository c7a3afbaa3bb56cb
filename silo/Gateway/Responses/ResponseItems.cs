using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Reads <c>input</c>: text, or a list of items. Items come out in the form in which the API lists them, each with an id.</summary>
internal static class ResponseItems
{
    private const string Name = "input";
    private const int MaxItems = 4096;
    private const int MaxIdLength = 64;
    private const int MaxNameLength = 128;

    /// <exception cref="ApiException">It is neither, or an item is not one that is taken.</exception>
    public static List<JsonObject> Read(RequestFields fields)
    {
        if (!fields.TryGet(Name, out var input)) throw ApiException.Invalid(Name, $"{Name} is missing; it must be text or a list of items.");
        if (input.ValueKind == JsonValueKind.String) return [Message("user", null, [TextPart("user", RequestText.Read(Name, input))])];
        if (input.ValueKind != JsonValueKind.Array || input.GetArrayLength() is 0 or > MaxItems)
            throw fields.Wrong(Name, input, $"text or a list of 1 to {MaxItems} items");
        var items = new List<JsonObject>(input.GetArrayLength());
        foreach (var item in input.EnumerateArray()) items.Add(ReadItem(item, $"{Name}[{items.Count}]"));
        return items;
    }

    private static JsonObject ReadItem(JsonElement item, string place)
    {
        if (item.ValueKind != JsonValueKind.Object) throw ApiException.Invalid(Name, $"{place} is not an object.");
        var fields = new RequestFields(item, place + ".");
        // Given back by whoever lists a response's items or repeats its output; what is taken in is complete by that.
        var id = fields.GetString("id", MaxIdLength);
        fields.GetString("status", 32);
        return fields.GetString("type", 64) switch
        {
            null or "message" => ReadMessage(fields, place, id),
            "function_call" => new JsonObject
            {
                ["id"] = id ?? ResponseIds.New("fc"),
                ["type"] = "function_call",
                ["call_id"] = Required(fields, place, "call_id", MaxIdLength),
                ["name"] = Required(fields, place, "name", MaxNameLength),
                ["arguments"] = Required(fields, place, "arguments", int.MaxValue),
                ["status"] = "completed",
            },
            "function_call_output" => new JsonObject
            {
                ["id"] = id ?? ResponseIds.New("fco"),
                ["type"] = "function_call_output",
                ["call_id"] = Required(fields, place, "call_id", MaxIdLength),
                ["output"] = ReadOutput(fields, place),
                ["status"] = "completed",
            },
            var type => throw ApiException.Invalid(
                $"{place}.type", $"{place}.type is '{type}'; items of type message, function_call and function_call_output are taken."),
        };
    }

    private static JsonObject ReadMessage(RequestFields fields, string place, string? id)
    {
        fields.GetString("phase", 32); // Says which of a model's messages is the answer; templates have no place for it.
        var role = fields.GetString("role", 32);
        if (role is not ("user" or "system" or "developer" or "assistant"))
            throw ApiException.Invalid($"{place}.role", $"{place}.role is {(role is null ? "missing" : $"'{role}'")}; it must be user, system, developer or assistant.");
        if (!fields.TryGet("content", out var content))
            throw ApiException.Invalid($"{place}.content", $"{place}.content is missing; it must be text or a list of text parts.");
        if (content.ValueKind == JsonValueKind.String) return Message(role, id, [TextPart(role, RequestText.Read($"{place}.content", content))]);
        if (content.ValueKind != JsonValueKind.Array) throw fields.Wrong("content", content, "text or a list of text parts");
        return Message(role, id, ReadParts(content, role, $"{place}.content"));
    }

    private static JsonArray ReadParts(JsonElement content, string role, string place)
    {
        var parts = new JsonArray();
        foreach (var part in content.EnumerateArray())
        {
            var where = $"{place}[{parts.Count}]";
            if (part.ValueKind != JsonValueKind.Object) throw ApiException.Invalid(place, $"{where} is not an object.");
            var fields = new RequestFields(part, where + ".");
            var type = fields.GetString("type", 64);
            // Of no use here, and given back with every answer.
            fields.Has("annotations");
            fields.Has("logprobs");
            parts.Add((JsonNode)(type switch
            {
                "input_text" or "output_text" => TextPart(role, Required(fields, where, "text", int.MaxValue)),
                "refusal" when role == "assistant" => new JsonObject { ["type"] = type, ["refusal"] = Required(fields, where, "refusal", int.MaxValue) },
                _ => throw ApiException.Invalid($"{where}.type", $"{where}.type is '{type}'; only text is taken: input_text, output_text, and refusal of an assistant."),
            }));
        }

        return parts;
    }

    /// <summary>Text, or a list of text parts, which become one text.</summary>
    private static string ReadOutput(RequestFields fields, string place)
    {
        if (!fields.TryGet("output", out var output)) throw ApiException.Invalid($"{place}.output", $"{place}.output is missing; it must be text.");
        if (output.ValueKind != JsonValueKind.Array) return Required(fields, place, "output", int.MaxValue);
        return string.Join('\n', ReadParts(output, "user", $"{place}.output").Select(part => (string)part!["text"]!));
    }

    private static string Required(RequestFields fields, string place, string name, int maxLength) =>
        fields.GetString(name, maxLength) ?? throw ApiException.Invalid($"{place}.{name}", $"{place}.{name} is missing; it must be a string.");

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

using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway;

/// <summary>Reads <c>messages</c> and brings them to what chat templates know: a role and a string.</summary>
internal static class ChatMessages
{
    private const string Name = "messages";
    private const int MaxMessages = 4096;

    /// <exception cref="ApiException">A message is not one.</exception>
    public static JsonArray Read(RequestFields fields)
    {
        if (!fields.TryGet(Name, out var list)) throw ApiException.Invalid(Name, $"{Name} is missing; it must be a list of messages.");
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() is 0 or > MaxMessages)
            throw fields.Wrong(Name, list, $"a list of 1 to {MaxMessages} messages");
        var messages = new JsonArray();
        var i = 0;
        foreach (var message in list.EnumerateArray()) messages.Add((JsonNode)ReadOne(message, $"{Name}[{i++}]"));
        return messages;
    }

    private static JsonObject ReadOne(JsonElement message, string place)
    {
        if (message.ValueKind != JsonValueKind.Object) throw ApiException.Invalid(Name, $"{place} is not an object.");
        var fields = new RequestFields(message, place + ".");
        var role = fields.GetString("role", 32);
        var result = new JsonObject
        {
            // OpenAI's newer name for the system's role; templates know the older one.
            ["role"] = role switch
            {
                "developer" => "system",
                "system" or "user" or "assistant" or "tool" => role,
                null => throw ApiException.Invalid($"{place}.role", $"{place}.role is missing; it must be system, developer, user, assistant or tool."),
                _ => throw ApiException.Invalid($"{place}.role", $"{place}.role is '{role}'; it must be system, developer, user, assistant or tool."),
            },
            ["content"] = ReadContent(fields, place, optional: role == "assistant"),
        };
        foreach (var name in (ReadOnlySpan<string>)["name", "tool_call_id", "tool_calls"])
        {
            if (fields.TryGet(name, out var value)) result[name] = JsonNode.Parse(value.GetRawText());
        }

        return result;
    }

    private static string ReadContent(RequestFields fields, string place, bool optional)
    {
        if (!fields.TryGet("content", out var content))
            return optional ? "" : throw ApiException.Invalid($"{place}.content", $"{place}.content is missing; it must be a string or a list of text parts.");
        if (content.ValueKind == JsonValueKind.String) return RequestText.Read($"{place}.content", content);
        if (content.ValueKind != JsonValueKind.Array) throw fields.Wrong("content", content, "a string or a list of text parts");
        var texts = new List<string>();
        foreach (var part in content.EnumerateArray())
        {
            var where = $"{place}.content[{texts.Count}]";
            if (part.ValueKind != JsonValueKind.Object) throw ApiException.Invalid($"{place}.content", $"{where} is not an object.");
            var partFields = new RequestFields(part, where + ".");
            var type = partFields.GetString("type", 64);
            if (type is not ("text" or "refusal")) throw ApiException.Invalid($"{where}.type", $"{where}.type is '{type}'; only 'text' parts are taken.");
            texts.Add(partFields.GetString(type, int.MaxValue) ?? throw ApiException.Invalid($"{where}.{type}", $"{where}.{type} is missing; it must be a string."));
        }

        return string.Join('\n', texts);
    }
}

using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Text.Templates;

namespace Granary.Silo.Gateway;

/// <summary>Reads <c>messages</c> and brings them to what chat templates know: a role and a string, and the calls of tools.</summary>
internal static class ChatMessages
{
    private const string Name = "messages";
    private const int MaxParts = 4096;
    private const int MaxCalls = 128;
    private const int MaxName = 256;
    private const string Roles = "system, developer, user, assistant, tool or function";

    /// <exception cref="ApiException">A message is not one.</exception>
    public static JsonArray Read(RequestFields fields)
    {
        var list = fields.GetObjects(Name, 1, GenerationLimits.MaxMessages) ?? throw fields.Missing(Name, "a list of messages");
        return new JsonArray([.. list.Select(ReadOne)]);
    }

    private static JsonObject ReadOne(RequestFields fields)
    {
        var role = fields.GetString("role", MaxName) ?? throw fields.Missing("role", Roles);
        var calls = ReadCalls(fields);
        var result = new JsonObject
        {
            ["role"] = role switch
            {
                "developer" => "system", // OpenAI's newer name; templates know the older one.
                "function" => "tool", // OpenAI's older name; templates know the newer one.
                "system" or "user" or "assistant" or "tool" => role,
                _ => throw ApiException.Invalid(fields.PathOf("role"), $"{fields.PathOf("role")} is '{role}'; it must be {Roles}."),
            },
            ["content"] = ReadContent(fields, optional: role == "assistant"),
        };
        foreach (var name in (ReadOnlySpan<string>)["name", "tool_call_id", "reasoning_content"])
        {
            if (fields.GetString(name, name == "reasoning_content" ? int.MaxValue : MaxName) is { } text) result[name] = text;
        }

        // What OpenAI's answers carry and clients send back.
        fields.Ignore("refusal", "annotations", "audio", "function_call");
        if (calls is not null) result["tool_calls"] = calls;
        return result;
    }

    private static string ReadContent(RequestFields fields, bool optional)
    {
        const string Wanted = "a string or a list of text parts";
        var place = fields.PathOf("content");
        if (!fields.TryGet("content", out var content)) return optional ? "" : throw fields.Missing("content", Wanted);
        if (content.ValueKind == JsonValueKind.String) return RequestText.Read(place, content);
        if (content.ValueKind != JsonValueKind.Array) throw fields.Wrong("content", content, Wanted);
        return string.Join('\n', fields.GetObjects("content", 0, MaxParts)!.Select(ReadPart));
    }

    private static string ReadPart(RequestFields part)
    {
        var type = part.GetString("type", MaxName);
        if (type is not ("text" or "refusal"))
            throw ApiException.Unsupported(part.PathOf("type"), $"{part.PathOf("type")} is '{type}'; only 'text' parts are taken.");
        part.Ignore("text", "refusal", "prompt_cache_breakpoint");
        return part.GetString(type, int.MaxValue) ?? throw part.Missing(type, "a string");
    }

    private static JsonArray? ReadCalls(RequestFields fields)
    {
        if (fields.GetObjects("tool_calls", 0, MaxCalls) is not { Length: > 0 } calls) return null;
        return new JsonArray([.. calls.Select(ReadCall)]);
    }

    private static JsonObject ReadCall(RequestFields call)
    {
        call.Ignore("index");
        var result = new JsonObject { ["type"] = call.GetString("type", MaxName) ?? "function" };
        if (call.GetString("id", MaxName) is { } id) result["id"] = id;
        var function = call.GetObject("function") ?? throw call.Missing("function", "an object with name and arguments");
        result["function"] = new JsonObject
        {
            ["name"] = function.GetString("name", MaxName) ?? throw function.Missing("name", "a string"),
            ["arguments"] = ToolArguments.Parse(function.GetString("arguments", int.MaxValue) ?? ""),
        };
        return result;
    }
}

using System.Text.Json.Nodes;
using Granary.Text.Templates;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Brings items to what chat templates know: messages of a role and a string, calls of tools, and what tools said.</summary>
internal static class ResponseMessages
{
    public static JsonArray From(string? instructions, IEnumerable<JsonObject> items)
    {
        var messages = new JsonArray();
        if (instructions is not null) messages.Add((JsonNode)new JsonObject { ["role"] = "system", ["content"] = instructions });
        foreach (var item in items)
        {
            switch ((string)item["type"]!)
            {
                case "function_call":
                    CallsOfTurn(messages).Add((JsonNode)Call(item));
                    break;
                case "function_call_output":
                    messages.Add((JsonNode)new JsonObject { ["role"] = "tool", ["tool_call_id"] = (string)item["call_id"]!, ["content"] = (string)item["output"]! });
                    break;
                default:
                    messages.Add((JsonNode)new JsonObject { ["role"] = Role(item), ["content"] = Text(item) });
                    break;
            }
        }

        return messages;
    }

    public static bool IsUserMessage(JsonObject item) => (string)item["type"]! == "message" && (string)item["role"]! == "user";

    /// <summary>Calls that follow one another, or the assistant's text, belong to one message.</summary>
    private static JsonArray CallsOfTurn(JsonArray messages)
    {
        if (messages.Count == 0 || (string)messages[^1]!["role"]! != "assistant")
            messages.Add((JsonNode)new JsonObject { ["role"] = "assistant", ["content"] = "" });
        var message = messages[^1]!.AsObject();
        if (message["tool_calls"] is JsonArray calls) return calls;
        calls = [];
        message["tool_calls"] = calls;
        return calls;
    }

    private static JsonObject Call(JsonObject item) => new()
    {
        ["id"] = (string)item["call_id"]!,
        ["type"] = "function",
        ["function"] = new JsonObject { ["name"] = (string)item["name"]!, ["arguments"] = ToolArguments.Parse((string)item["arguments"]!) },
    };

    /// <summary>Templates know the older name of the developer's role.</summary>
    private static string Role(JsonObject item) => (string)item["role"]! is var role && role == "developer" ? "system" : role;

    private static string Text(JsonObject item) =>
        string.Join('\n', item["content"]!.AsArray().Select(part => (string?)(part!["text"] ?? part["refusal"]) ?? ""));
}

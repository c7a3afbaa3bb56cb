using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>Brings messages to what a text model reads: roles and text, calls and their results.</summary>
internal static class ChatMessageMapping
{
    /// <summary>Without the white space that these options put between: it would be tokens.</summary>
    private static readonly JsonSerializerOptions Compact = new(AIJsonUtilities.DefaultOptions) { WriteIndented = false };

    /// <param name="instructions">Become a system message before all others.</param>
    /// <exception cref="NotSupportedException">A content is not text.</exception>
    public static List<ChatTurn> ToTurns(IEnumerable<ChatMessage> messages, string? instructions)
    {
        var turns = new List<ChatTurn>();
        if (!string.IsNullOrEmpty(instructions)) turns.Add(new ChatTurn("system", instructions));
        var index = 0;
        foreach (var message in messages) AddTurns(turns, message, index++);
        return turns;
    }

    /// <remarks>Every result is a turn of its own: a tool's message answers one call.</remarks>
    private static void AddTurns(List<ChatTurn> turns, ChatMessage message, int index)
    {
        var text = new StringBuilder();
        var calls = new JsonArray();
        var results = 0;
        foreach (var content in message.Contents)
        {
            switch (content)
            {
                case TextContent part:
                    text.Append(part.Text);
                    break;
                case FunctionCallContent call:
                    calls.Add((JsonNode)ToCall(call));
                    break;
                case FunctionResultContent result:
                    results++;
                    turns.Add(new ChatTurn("tool", ToText(result)) { ToolCallId = result.CallId });
                    break;
                case TextReasoningContent or UsageContent or ErrorContent:
                    break; // About an answer, and no part of it.
                default:
                    throw new NotSupportedException($"messages[{index}] has a {Describe(content)}; only text, function calls and their results are supported.");
            }
        }

        if (results > 0 && text.Length == 0 && calls.Count == 0) return;
        turns.Add(new ChatTurn(message.Role.Value, text.ToString()) { Name = message.AuthorName, ToolCalls = calls.Count > 0 ? calls : null });
    }

    private static JsonObject ToCall(FunctionCallContent call) => new()
    {
        ["id"] = call.CallId,
        ["type"] = "function",
        ["function"] = new JsonObject
        {
            ["name"] = call.Name,
            ["arguments"] = JsonSerializer.Serialize(
                call.Arguments ?? new Dictionary<string, object?>(), Compact.GetTypeInfo(typeof(IDictionary<string, object?>))),
        },
    };

    private static string ToText(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception is { } exception ? $"Error: {exception.Message}" : "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } element => element.GetString()!,
        TextContent content => content.Text,
        var other => JsonSerializer.Serialize(other, Compact.GetTypeInfo(other.GetType())),
    };

    private static string Describe(AIContent content) => content switch
    {
        DataContent data => $"{nameof(DataContent)} of {data.MediaType}",
        UriContent uri => $"{nameof(UriContent)} of {uri.MediaType}",
        _ => content.GetType().Name,
    };
}

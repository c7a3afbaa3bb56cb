using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Text.Templates;

/// <summary>The arguments of a tool call on their way into a template.</summary>
public static class ToolArguments
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    /// <summary>The object that the text is; nothing is an object without fields, and what is no JSON object stays text.</summary>
    /// <remarks>OpenAI's API writes arguments as a string of JSON. Templates write them as JSON themselves, and would quote the quotes.</remarks>
    public static JsonNode Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length == 0) return new JsonObject();
        try
        {
            var node = JsonNode.Parse(text, documentOptions: Options);
            ValueOperations.FromJson(node); // Reads every string in it, so that half a character is found here.
            if (node is JsonObject) return node;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or ChatTemplateException)
        {
            // A model wrote it; it goes back as it was.
        }

        return JsonValue.Create(text);
    }
}

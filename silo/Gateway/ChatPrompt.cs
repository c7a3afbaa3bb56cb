using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Text.Templates;

namespace Granary.Silo.Gateway;

/// <summary>Reads a conversation and all else that the model's chat template takes, and renders it to token ids.</summary>
internal static class ChatPrompt
{
    private const string Name = "messages";
    private const int MaxDocuments = 1024;

    /// <exception cref="ApiException">A field is wrong, or the template refuses the conversation.</exception>
    public static int[] Read(RequestFields fields, TextModel model)
    {
        var messages = ChatMessages.Read(fields);
        var continued = fields.GetBoolean("continue_final_message", false);
        var options = new ChatTemplateOptions
        {
            AddGenerationPrompt = fields.GetBoolean("add_generation_prompt", !continued),
            Tools = ToolFields.Read(fields),
            Documents = ReadDocuments(fields),
            ExtraContext = fields.GetObject("chat_template_kwargs")?.ToJson(),
        };
        if (continued && options.AddGenerationPrompt)
            throw ApiException.Invalid("continue_final_message", "continue_final_message is true; add_generation_prompt must be false then.");
        fields.Refuse("chat_template", "only the model's own template is used");
        var addSpecialTokens = fields.GetBoolean("add_special_tokens", false);
        if (model.Template is null) throw ApiException.Invalid(Name, $"Model {model.Name} has no chat template; ask /v1/completions.");

        var text = Render(Name, model.Template, messages, options);
        if (continued) text = CutAfter(text, (string)messages[^1]!["content"]!);
        // The template writes the special tokens itself.
        return TextInputs.Encode(Name, model, text, addSpecialTokens);
    }

    private static JsonArray? ReadDocuments(RequestFields fields) =>
        fields.GetObjects("documents", 0, MaxDocuments) is { Length: > 0 } documents ? new JsonArray([.. documents.Select(document => document.ToJson())]) : null;

    /// <param name="name">The field that the messages came in.</param>
    /// <exception cref="ApiException">The template refuses them.</exception>
    public static string Render(string name, ChatTemplate template, JsonArray messages, ChatTemplateOptions options)
    {
        try
        {
            return template.Render(messages, options);
        }
        catch (ChatTemplateException exception)
        {
            throw ApiException.Invalid(name, $"The model's chat template refuses the messages: {exception.Message}");
        }
    }

    /// <summary>The text up to the end of the last message, so that the model goes on with it.</summary>
    private static string CutAfter(string text, string last)
    {
        last = last.Trim(); // Templates trim what they write.
        var start = last.Length == 0 ? -1 : text.LastIndexOf(last, StringComparison.Ordinal);
        return start >= 0 ? text[..(start + last.Length)] : throw ApiException.Invalid(
            "continue_final_message", "continue_final_message is true; the last message has no text that the chat template keeps.");
    }
}

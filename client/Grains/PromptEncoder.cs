using System.Text.Json.Nodes;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Client;

/// <summary>Turns requests into token ids, or refuses them as the gateway does.</summary>
internal static class PromptEncoder
{
    /// <exception cref="GranaryRequestException">The model has no template, or its template or tokenizer refuses the messages.</exception>
    public static int[] Chat(TextModel model, ChatRequest request)
    {
        if (model.Template is null) throw Refusals.Invalid("messages", $"Model {model.Name} has no chat template; ask for a completion.");
        var options = new ChatTemplateOptions
        {
            AddGenerationPrompt = true,
            Tools = request.Tools,
            Documents = request.Documents,
            ExtraContext = request.TemplateVariables,
        };
        try
        {
            return model.EncodeChat([.. request.Messages.Select(Message)], options);
        }
        catch (ChatTemplateException exception)
        {
            throw Refusals.Invalid("messages", $"The model's chat template refuses the messages: {exception.Message}");
        }
        catch (TokenizerException exception)
        {
            throw Refusals.Invalid("messages", exception.Message);
        }
    }

    /// <exception cref="GranaryRequestException">An id is not one, or the text is too long.</exception>
    public static int[] Completion(TextModel model, CompletionRequest request)
    {
        if (request.PromptTokenIds is not { } ids) return Text(model, "prompt", request.Prompt!);
        if (ids.Count > model.ContextLength)
            throw new GranaryRequestException($"prompt has {ids.Count} tokens; the context holds {model.ContextLength}.", "prompt") { Code = Refusals.ContextLengthExceeded };
        GrainPlan.RequireIds("prompt", ids, model.Card.VocabularySize);
        return [.. ids];
    }

    /// <exception cref="GranaryRequestException">The text is too long.</exception>
    public static int[] Text(TextModel model, string parameter, string text, bool addSpecialTokens = true)
    {
        try
        {
            return model.Tokenizer.Encode(text, addSpecialTokens);
        }
        catch (TokenizerException exception)
        {
            throw Refusals.Invalid(parameter, exception.Message);
        }
    }

    private static JsonNode Message(ChatTurn turn)
    {
        var message = new JsonObject
        {
            // OpenAI's newer name for the system's role; templates know the older one.
            ["role"] = turn.Role == "developer" ? "system" : turn.Role,
            ["content"] = turn.Content ?? "",
        };
        if (turn.Name is { } name) message["name"] = name;
        if (turn.ToolCallId is { } call) message["tool_call_id"] = call;
        if (turn.ToolCalls is { } calls) message["tool_calls"] = Calls(calls);
        return message;
    }

    private static JsonNode Calls(JsonArray calls)
    {
        var copy = calls.DeepClone();
        foreach (var call in copy.AsArray())
        {
            if (call?["function"] is JsonObject function && function["arguments"] is JsonValue value && value.TryGetValue(out string? text))
                function["arguments"] = ToolArguments.Parse(text);
        }

        return copy;
    }
}

using System.Text.Json.Nodes;
using Microsoft.Extensions.AI;

namespace Granary.Client;

/// <summary>What <see cref="ChatOptions"/> ask for, as a <see cref="ChatRequest"/>. What is not carried out is refused, not forgotten.</summary>
internal static class ChatOptionsMapping
{
    /// <param name="model">For options that name none.</param>
    /// <exception cref="NotSupportedException">An option or a content that Granary does not carry out.</exception>
    /// <exception cref="GranaryRequestException">An additional property is not of its type.</exception>
    public static ChatRequest ToRequest(IChatClient client, IEnumerable<ChatMessage> messages, ChatOptions? options, string? model)
    {
        var turns = ChatMessageMapping.ToTurns(messages, options?.Instructions);
        if (options is null) return new ChatRequest { Model = model, Messages = turns };

        RefuseUnsupported(options);
        // What the caller built for Granary itself wins over what is said in general terms.
        var raw = options.RawRepresentationFactory?.Invoke(client);
        var request = raw as ChatRequest;
        var settings = request?.Settings ?? raw as GenerationSettings ?? new GenerationSettings();
        if (raw is not (null or ChatRequest or GenerationSettings))
        {
            throw new NotSupportedException(
                $"ChatOptions.RawRepresentationFactory made a {raw.GetType().Name}; a {nameof(ChatRequest)} or {nameof(GenerationSettings)} is taken.");
        }

        var extra = new AdditionalValues(options.AdditionalProperties);
        if ((extra.Get<int>("n") ?? settings.Choices) is not 1 and var choices)
            throw new NotSupportedException($"n is {choices}; an IChatClient answers with one choice. Ask GranaryClient.ChatAsync for several.");
        return new ChatRequest
        {
            Model = request?.Model ?? options.ModelId ?? model,
            Messages = turns,
            Settings = Merge(settings, options, extra),
            Tools = request?.Tools ?? Tools(options),
            Documents = request?.Documents ?? extra.GetNode("documents") as JsonArray,
            TemplateVariables = request?.TemplateVariables ?? extra.GetNode("chat_template_kwargs") as JsonObject,
        };
    }

    private static GenerationSettings Merge(GenerationSettings settings, ChatOptions options, AdditionalValues extra) => settings with
    {
        Temperature = settings.Temperature ?? options.Temperature,
        TopP = settings.TopP ?? options.TopP,
        TopK = settings.TopK ?? options.TopK,
        MaxTokens = settings.MaxTokens ?? options.MaxOutputTokens,
        PresencePenalty = settings.PresencePenalty ?? options.PresencePenalty,
        FrequencyPenalty = settings.FrequencyPenalty ?? options.FrequencyPenalty,
        Seed = settings.Seed ?? options.Seed,
        Stops = settings.Stops.Count > 0 ? settings.Stops : [.. options.StopSequences ?? []],
        SessionId = settings.SessionId ?? extra.GetText("session_id"),
        MinP = settings.MinP ?? extra.Get<float>("min_p"),
        MinTokens = settings.MinTokens ?? extra.Get<int>("min_tokens"),
        RepetitionPenalty = settings.RepetitionPenalty ?? extra.Get<float>("repetition_penalty"),
        TopLogprobs = settings.TopLogprobs ?? extra.Get<int>("top_logprobs") ?? (extra.Get<bool>("logprobs") == true ? 0 : null),
        IgnoreEos = settings.IgnoreEos || extra.Get<bool>("ignore_eos") == true,
        CacheSalt = settings.CacheSalt ?? extra.GetText("cache_salt"),
    };

    private static void RefuseUnsupported(ChatOptions options)
    {
        if (options.ResponseFormat is not (null or ChatResponseFormatText))
            throw new NotSupportedException($"ChatOptions.ResponseFormat is {options.ResponseFormat.GetType().Name}; only text is supported.");
        if (options.ToolMode is not (null or AutoChatToolMode or NoneChatToolMode))
            throw new NotSupportedException($"ChatOptions.ToolMode is {options.ToolMode.GetType().Name}; a model cannot be made to call a tool, only Auto and None are supported.");
        if (options.ConversationId is not null)
            throw new NotSupportedException("ChatOptions.ConversationId is set; no messages are kept for you. Send all of them, with an id of your own as the additional property session_id.");
        if (options.ContinuationToken is not null)
            throw new NotSupportedException("ChatOptions.ContinuationToken is set; responses do not run in the background.");
    }

    /// <summary>Tool declarations in OpenAI's form, for the model's template.</summary>
    private static JsonArray? Tools(ChatOptions options)
    {
        if (options.Tools is not { Count: > 0 } tools || options.ToolMode is NoneChatToolMode) return null;
        return [.. tools.Select(tool => tool is AIFunctionDeclaration function
            ? (JsonNode)new JsonObject
            {
                ["type"] = "function",
                ["function"] = new JsonObject
                {
                    ["name"] = function.Name,
                    ["description"] = function.Description,
                    ["parameters"] = JsonNode.Parse(function.JsonSchema.GetRawText()),
                },
            }
            : throw new NotSupportedException($"Tool '{tool.Name}' is a {tool.GetType().Name}; only functions are supported."))];
    }
}

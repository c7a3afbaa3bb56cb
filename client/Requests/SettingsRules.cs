using System.Globalization;

namespace Granary.Client;

/// <summary>Bounds of settings that hold for every model; what depends on the model is checked where the model is known.</summary>
internal static class SettingsRules
{
    /// <summary>The longest a single request may ask to take.</summary>
    public static readonly TimeSpan MaxTimeout = TimeSpan.FromHours(24);

    /// <summary>The name of <see cref="GenerationSettings.MaxTokens"/> on the wire.</summary>
    public static string MaxTokensName(bool chat) => chat ? "max_completion_tokens" : "max_tokens";

    /// <exception cref="GranaryRequestException">A value is out of its bounds.</exception>
    public static void Require(GenerationSettings settings, bool chat)
    {
        Refusals.RequireInteger("n", settings.Choices, 1, int.MaxValue);
        Refusals.RequireInteger(MaxTokensName(chat), settings.MaxTokens, 1, int.MaxValue);
        Refusals.RequireInteger("min_tokens", settings.MinTokens, 0, settings.MaxTokens ?? int.MaxValue);
        Refusals.RequireNumber("temperature", settings.Temperature, 0, GenerationLimits.MaxTemperature);
        Refusals.RequireNumber("top_p", settings.TopP, 0, 1, withoutMin: true);
        Refusals.RequireInteger("top_k", settings.TopK, -1, int.MaxValue);
        Refusals.RequireNumber("min_p", settings.MinP, 0, 1);
        Refusals.RequireNumber("repetition_penalty", settings.RepetitionPenalty, GenerationLimits.MinRepetitionPenalty, GenerationLimits.MaxRepetitionPenalty);
        Refusals.RequireNumber("presence_penalty", settings.PresencePenalty, -GenerationLimits.MaxPenalty, GenerationLimits.MaxPenalty);
        Refusals.RequireNumber("frequency_penalty", settings.FrequencyPenalty, -GenerationLimits.MaxPenalty, GenerationLimits.MaxPenalty);
        if (chat) Refusals.RequireInteger("top_logprobs", settings.TopLogprobs, 0, GenerationLimits.MaxTopLogprobs);
        else Refusals.RequireInteger("logprobs", settings.TopLogprobs, 0, GenerationLimits.MaxCompletionLogprobs);
        RequireLogitBias(settings.LogitBias);
        RequireStops(settings);
        Refusals.RequireLength("cache_salt", settings.CacheSalt, GenerationLimits.MaxNameLength);
        if (settings.SessionId is { } session && !SessionIds.IsId(session)) throw Refusals.Wrong("session_id", Refusals.Show(session), SessionIds.Rule);
        RequireTimeout(settings.Timeout);
    }

    public static void RequireMessages(IReadOnlyList<ChatTurn> messages)
    {
        if (messages is null || messages.Count is 0 or > GenerationLimits.MaxMessages)
            throw Refusals.Wrong("messages", $"a list of {messages?.Count ?? 0}", $"a list of 1 to {GenerationLimits.MaxMessages} messages");
        for (var i = 0; i < messages.Count; i++)
        {
            var role = messages[i].Role;
            if (role is "system" or "developer" or "user" or "assistant" or "tool") continue;
            throw Refusals.Invalid($"messages[{i}].role", $"messages[{i}].role is '{role}'; it must be system, developer, user, assistant or tool.");
        }
    }

    public static void RequirePrompt(CompletionRequest request)
    {
        if (request.Prompt is null == request.PromptTokenIds is null)
            throw Refusals.Invalid("prompt", $"prompt is {(request.Prompt is null ? "missing" : "both text and token ids")}; it must be text or token ids.");
        if (request.PromptTokenIds is { Count: 0 }) throw Refusals.Invalid("prompt", "prompt is empty; it must have at least one token.");
    }

    public static void RequireEmbedding(EmbeddingRequest request)
    {
        if (request.Inputs is null || request.Inputs.Count is 0 or > GenerationLimits.MaxEmbeddingInputs)
            throw Refusals.Wrong("input", $"a list of {request.Inputs?.Count ?? 0}", $"a list of 1 to {GenerationLimits.MaxEmbeddingInputs} texts");
        Refusals.RequireInteger("dimensions", request.Dimensions, 1, int.MaxValue);
        RequireTimeout(request.Timeout);
    }

    private static void RequireTimeout(TimeSpan? timeout)
    {
        if (timeout is { } time && (time <= TimeSpan.Zero || time > MaxTimeout))
            throw Refusals.Wrong("timeout", time.ToString("c", CultureInfo.InvariantCulture), $"above 0 and at most {MaxTimeout}");
    }

    private static void RequireLogitBias(IReadOnlyDictionary<int, float>? biases)
    {
        if (biases is null) return;
        if (biases.Count > GenerationLimits.MaxLogitBias)
            throw Refusals.Invalid("logit_bias", $"logit_bias has more than {GenerationLimits.MaxLogitBias} entries.");
        foreach (var (id, bias) in biases) Refusals.RequireNumber(string.Create(CultureInfo.InvariantCulture, $"logit_bias.{id}"), bias, -GenerationLimits.MaxBias, GenerationLimits.MaxBias);
    }

    private static void RequireStops(GenerationSettings settings)
    {
        if (settings.Stops.Count > GenerationLimits.MaxStops)
            throw Refusals.Wrong("stop", $"a list of {settings.Stops.Count}", $"a string or a list of at most {GenerationLimits.MaxStops} strings");
        if (settings.Stops.Any(stop => stop is not { Length: > 0 and <= GenerationLimits.MaxStopLength }))
            throw Refusals.Invalid("stop", $"stop has an entry that is not a string of 1 to {GenerationLimits.MaxStopLength} characters.");
        if (settings.StopTokenIds.Count > GenerationLimits.MaxStopTokenIds)
        {
            throw Refusals.Wrong(
                "stop_token_ids", $"a list of {settings.StopTokenIds.Count}", $"a list of at most {GenerationLimits.MaxStopTokenIds} token ids");
        }
    }
}

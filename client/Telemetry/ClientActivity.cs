using System.Diagnostics;

namespace Granary.Client;

/// <summary>Activities of the client, named after OpenTelemetry's conventions for generative AI. Prompts, stop strings and answers stay out of them.</summary>
internal static class ClientActivity
{
    public const string SourceName = "Granary.Client";
    public const string ProviderName = "granary";
    public const string ResponseModel = "gen_ai.response.model";
    public const string InputTokens = "gen_ai.usage.input_tokens";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Null where nobody listens.</summary>
    /// <param name="operation"><c>chat</c>, <c>text_completion</c> or <c>embeddings</c>.</param>
    public static Activity? Start(string operation, string? model, Uri? endpoint)
    {
        var activity = Source.StartActivity(model is null ? operation : $"{operation} {model}", ActivityKind.Client);
        if (activity is null) return null;
        activity.SetTag("gen_ai.operation.name", operation).SetTag("gen_ai.provider.name", ProviderName);
        if (model is not null) activity.SetTag("gen_ai.request.model", model);
        if (endpoint is not null) activity.SetTag("server.address", endpoint.Host).SetTag("server.port", endpoint.Port);
        return activity;
    }

    /// <summary>What was asked for; nothing of what was left to the model.</summary>
    public static void Asked(Activity? activity, GenerationSettings settings)
    {
        if (activity is not { IsAllDataRequested: true }) return;
        if (settings.Choices != 1) activity.SetTag("gen_ai.request.choice.count", settings.Choices);
        if (settings.MaxTokens is { } max) activity.SetTag("gen_ai.request.max_tokens", max);
        if (settings.Temperature is { } temperature) activity.SetTag("gen_ai.request.temperature", (double)temperature);
        if (settings.TopP is { } topP) activity.SetTag("gen_ai.request.top_p", (double)topP);
        if (settings.TopK is { } topK) activity.SetTag("gen_ai.request.top_k", (double)topK);
        if (settings.PresencePenalty is { } presence) activity.SetTag("gen_ai.request.presence_penalty", (double)presence);
        if (settings.FrequencyPenalty is { } frequency) activity.SetTag("gen_ai.request.frequency_penalty", (double)frequency);
        if (settings.Seed is { } seed) activity.SetTag("gen_ai.request.seed", seed);
        if (settings.SessionId is { } session) activity.SetTag("gen_ai.conversation.id", session);
    }

    /// <param name="reasons">Finish reasons so far, by choice.</param>
    public static void Answered(Activity activity, GenerationUpdate update, SortedDictionary<int, string> reasons)
    {
        if (activity.GetTagItem("gen_ai.response.id") is null) activity.SetTag("gen_ai.response.id", update.ResponseId).SetTag(ResponseModel, update.Model);
        if (update.FinishReason is { } reason)
        {
            reasons[update.Choice] = reason;
            activity.SetTag("gen_ai.response.finish_reasons", reasons.Values.ToArray());
        }

        if (update.Usage is not { } usage) return;
        activity.SetTag(InputTokens, usage.PromptTokens).SetTag("gen_ai.usage.output_tokens", usage.CompletionTokens)
            .SetTag("gen_ai.usage.cache_read.input_tokens", usage.CachedPromptTokens);
    }

    /// <summary>A type, and for a refusal its code; the message may quote the request.</summary>
    public static void Failed(Activity? activity, Exception exception)
    {
        if (activity is null) return;
        activity.SetStatus(ActivityStatusCode.Error);
        activity.SetTag("error.type", (exception as GranaryRequestException)?.Code ?? exception.GetType().FullName);
    }
}

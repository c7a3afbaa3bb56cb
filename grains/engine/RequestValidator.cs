using Granary.Engine.Prompts;
using Granary.Engine.Sampling;

namespace Granary.Engine;

/// <summary>Says why a request cannot run on an engine, if it cannot.</summary>
internal static class RequestValidator
{
    private const int MostTopLogprobs = 20;
    private const int MostStopIds = 1_024;
    private const int MostBiases = 1_024;

    public static Refusal? Check(EngineRequest request, EngineInfo info) =>
        CheckPrompt(request, info) ?? CheckReading(request) ?? CheckLimits(request, info) ?? CheckSampling(request.Sampling) ?? CheckBias(request.Sampling, info);

    private static Refusal? CheckPrompt(EngineRequest request, EngineInfo info)
    {
        var prompt = request.PromptTokenIds;
        if (prompt.Length == 0) return Invalid("prompt", "The prompt has 0 tokens; it must have at least 1.");
        var tokens = prompt.Length + (request.Sampling.MaxTokens == 0 ? 0 : 1);
        if (tokens > info.ContextLength)
        {
            var blocks = (tokens + info.KvBlockTokens - 1) / info.KvBlockTokens;
            var generated = tokens > prompt.Length ? "with one generated token " : "";
            return Invalid("prompt", $"The prompt has {prompt.Length} tokens; {generated}it must fit {info.ContextLength} tokens " +
                $"(it needs {blocks} KV blocks of {info.KvBlockTokens} tokens, the replica has {info.KvBlockCount}).");
        }

        foreach (var id in prompt)
        {
            if ((uint)id >= (uint)info.VocabularySize)
                return Invalid("prompt", $"The prompt has token id {id}; ids must be between 0 and {info.VocabularySize - 1}.");
        }

        return request.ReplayedTokens >= 0 && request.ReplayedTokens < prompt.Length ? null
            : Invalid(null, $"Replayed tokens are {request.ReplayedTokens}; they must be between 0 and {prompt.Length - 1}, as the prompt has {prompt.Length} tokens.");
    }

    private static Refusal? CheckReading(EngineRequest request)
    {
        if (request.PromptLogprobs is < 0 or > MostTopLogprobs)
            return Invalid("prompt_logprobs", $"prompt_logprobs is {request.PromptLogprobs}; it must be between 0 and {MostTopLogprobs}.");
        if (request.Pooling is not { } pooling) return null;
        if (!Enum.IsDefined(pooling)) return Invalid("pooling", $"pooling is {pooling}; it must be {nameof(Pooling.Mean)} or {nameof(Pooling.Last)}.");
        if (request.PromptLogprobs is not null)
            return Invalid("prompt_logprobs", $"prompt_logprobs is {request.PromptLogprobs}; it must be absent where the prompt is pooled.");
        return request.Sampling.MaxTokens == 0 ? null
            : Invalid("max_tokens", $"max_tokens is {request.Sampling.MaxTokens}; it must be 0 where the prompt is pooled.");
    }

    private static Refusal? CheckLimits(EngineRequest request, EngineInfo info)
    {
        var sampling = request.Sampling;
        var least = request.Pooling is null && request.PromptLogprobs is null ? 1 : 0;
        if (sampling.MaxTokens < least) return Invalid("max_tokens", $"max_tokens is {sampling.MaxTokens}; it must be at least {least}.");
        if (sampling.MinTokens < 0 || sampling.MinTokens > sampling.MaxTokens)
            return Invalid("min_tokens", $"min_tokens is {sampling.MinTokens}; it must be between 0 and max_tokens, {sampling.MaxTokens}.");
        if (sampling.StopTokenIds.Count > Math.Min(MostStopIds, info.VocabularySize - 1))
            return Invalid("stop_token_ids", $"There are {sampling.StopTokenIds.Count} stop token ids; there may be {Math.Min(MostStopIds, info.VocabularySize - 1)}.");
        return request.Choice >= 0 ? null : Invalid("n", $"The choice is {request.Choice}; it must not be negative.");
    }

    private static Refusal? CheckSampling(SamplingParameters s) =>
        Between("temperature", s.Temperature, 0, 100)
        ?? (s.TopK < 0 ? Invalid("top_k", $"top_k is {s.TopK}; it must be at least 0 (0 keeps all).") : null)
        ?? (s.TopP is > 0 and <= 1 ? null : Invalid("top_p", $"top_p is {s.TopP}; it must be above 0 and at most 1."))
        ?? Between("min_p", s.MinP, 0, 1)
        ?? Between("repetition_penalty", s.RepetitionPenalty, 0.01f, 100)
        ?? Between("presence_penalty", s.PresencePenalty, -2, 2)
        ?? Between("frequency_penalty", s.FrequencyPenalty, -2, 2)
        ?? (s.TopLogprobs is null or (>= 0 and <= MostTopLogprobs) ? null
            : Invalid("top_logprobs", $"top_logprobs is {s.TopLogprobs}; it must be between 0 and {MostTopLogprobs}."));

    private static Refusal? CheckBias(SamplingParameters sampling, EngineInfo info)
    {
        if (sampling.LogitBias is not { } biases) return null;
        if (biases.Count > MostBiases) return Invalid("logit_bias", $"logit_bias has {biases.Count} entries; it may have {MostBiases}.");
        foreach (var (id, bias) in biases)
        {
            if ((uint)id >= (uint)info.VocabularySize)
                return Invalid("logit_bias", $"logit_bias names token id {id}; ids must be between 0 and {info.VocabularySize - 1}.");
            if (Between("logit_bias", bias, -100, 100) is { } refusal) return refusal;
        }

        return null;
    }

    private static Refusal? Between(string parameter, float value, float least, float most) =>
        value >= least && value <= most ? null // False for NaN.
            : Invalid(parameter, FormattableString.Invariant($"{parameter} is {value}; it must be between {least} and {most}."));

    private static Refusal Invalid(string? parameter, string message) => new(RefusalReason.Invalid, parameter, message);
}

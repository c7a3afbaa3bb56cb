using Orleans;

namespace Granary.GrainInterfaces;

/// <summary>One generated token on its way from a replica to the caller, or the end of the sequence.</summary>
/// <remarks>
/// A sequence is any number of tokens followed by exactly one chunk whose <see cref="FinishReason"/> is set. The last token
/// and the end may share a chunk. An end-of-sequence or stop token is delivered with its id, so that the caller
/// knows the exact sequence; its text is the caller's to drop.
/// </remarks>
[GenerateSerializer, Immutable, Alias("granary.token-chunk")]
public readonly record struct TokenChunk
{
    /// <summary>The token's place among the generated ones, from 0; on a chunk without a token, how many were generated.</summary>
    [Id(0)]
    public int Index { get; init; }

    /// <summary>The token id, or -1 on a chunk that carries only the end.</summary>
    [Id(1)]
    public int TokenId { get; init; }

    /// <summary>The replica's life that made it; a caller drops what an earlier life says.</summary>
    [Id(2)]
    public long Epoch { get; init; }

    /// <summary>Set on the last chunk.</summary>
    [Id(3)]
    public FinishReason? FinishReason { get; init; }

    /// <summary>Prompt tokens whose KV was found in the cache; the same on every chunk of a sequence.</summary>
    [Id(4)]
    public int CachedPromptTokens { get; init; }

    /// <summary>Log-probabilities, when they were asked for.</summary>
    [Id(5)]
    public TokenLogprobs? Logprobs { get; init; }

    /// <summary>On a sequence's first chunk, when they were asked for: one entry for each prompt token but the first, which nothing precedes.</summary>
    [Id(6)]
    public TokenLogprobs[]? PromptLogprobs { get; init; }

    /// <summary>The replica that made it, in the life of <see cref="Epoch"/>; null where nobody says.</summary>
    [Id(7)]
    public string? ReplicaId { get; init; }
}

/// <summary>Natural logarithms of probabilities, from the logits after bias and penalties and before temperature and filters.</summary>
/// <param name="Chosen">Of the chosen token.</param>
/// <param name="TopTokenIds">The likeliest tokens, likeliest first.</param>
/// <param name="Top">Their log-probabilities, in the same order.</param>
[GenerateSerializer, Immutable, Alias("granary.token-logprobs")]
public sealed record TokenLogprobs([property: Id(0)] float Chosen, [property: Id(1)] int[] TopTokenIds, [property: Id(2)] float[] Top);

/// <summary>Why a sequence ended.</summary>
[GenerateSerializer, Alias("granary.finish-reason")]
public enum FinishReason
{
    /// <summary>An end-of-sequence or stop token was generated.</summary>
    Stop = 0,

    /// <summary><see cref="SamplingOptions.MaxTokens"/> or the model's context is used up.</summary>
    Length = 1,

    /// <summary>The caller left or cancelled.</summary>
    Cancelled = 2,

    /// <summary>The request's deadline passed.</summary>
    Deadline = 3,
}

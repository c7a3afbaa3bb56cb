using Orleans;

namespace Granary.GrainInterfaces;

/// <summary>How the next token is chosen from the logits, and which tokens end a sequence.</summary>
/// <remarks>
/// The order is: logit bias, repetition, presence and frequency penalties, temperature, top-k, top-p, min-p, draw.
/// Stop strings are not here: they are matched on text, where text is made (the gateway or the client).
/// </remarks>
[GenerateSerializer, Immutable, Alias("granary.sampling-options")]
public sealed record SamplingOptions
{
    /// <summary>Most tokens to generate, at least 1 (0 where only <see cref="GenerateRequest.PromptLogprobs"/> are wanted); prompt and generated tokens together stay within the model's context.</summary>
    [Id(0)]
    public required int MaxTokens { get; init; }

    /// <summary>Tokens before which end-of-sequence and stop ids are not chosen.</summary>
    [Id(1)]
    public int MinTokens { get; init; }

    /// <summary>0 is greedy: the highest logit, the lowest id among equals. At most 2 in the OpenAI API; any finite value here.</summary>
    [Id(2)]
    public float Temperature { get; init; } = 1;

    /// <summary>Keep the k highest logits; 0 keeps all.</summary>
    [Id(3)]
    public int TopK { get; init; }

    /// <summary>Keep the smallest set of tokens whose probability reaches this, in (0, 1].</summary>
    [Id(4)]
    public float TopP { get; init; } = 1;

    /// <summary>Keep tokens at least this fraction as likely as the likeliest, in [0, 1].</summary>
    [Id(5)]
    public float MinP { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens seen in prompt or output (CTRL, arXiv:1909.05858); 1 is off.</summary>
    [Id(6)]
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted once from the logit of every token generated so far.</summary>
    [Id(7)]
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted from a token's logit for every time it was generated so far.</summary>
    [Id(8)]
    public float FrequencyPenalty { get; init; }

    /// <summary>Added to the logits of single tokens, by token id.</summary>
    [Id(9)]
    public Dictionary<int, float>? LogitBias { get; init; }

    /// <summary>With the choice and the position it determines every draw; the gateway picks one when the caller does not.</summary>
    [Id(10)]
    public ulong Seed { get; init; }

    /// <summary>Token ids that end the sequence and are not delivered as text, besides the model's own.</summary>
    [Id(11)]
    public int[]? StopTokenIds { get; init; }

    /// <summary>Generate past the model's own end-of-sequence ids.</summary>
    [Id(12)]
    public bool IgnoreEos { get; init; }

    /// <summary>How many of the likeliest tokens to report with each token; null reports no log-probabilities at all, 0 only the chosen token's.</summary>
    [Id(13)]
    public int? TopLogprobs { get; init; }
}

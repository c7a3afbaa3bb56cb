namespace Granary.Engine.Sampling;

/// <summary>How the next token is chosen from a row of logits, and which tokens end the sequence.</summary>
/// <remarks>Order: logit bias, repetition, presence and frequency penalties, temperature, top-k, top-p, min-p, draw.</remarks>
public sealed record SamplingParameters
{
    /// <summary>For a prompt that is only read.</summary>
    public static SamplingParameters None { get; } = new() { MaxTokens = 0 };

    /// <summary>Most tokens to generate, at least 1; 0 where only the prompt is to be read.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Tokens before which ids that end the sequence are not chosen.</summary>
    public int MinTokens { get; init; }

    /// <summary>0 is greedy: the highest logit, the lowest id among equals.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Keep the k highest logits; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keep the smallest set of tokens whose probability reaches this, in (0, 1].</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Keep tokens at least this fraction as likely as the likeliest, in [0, 1].</summary>
    public float MinP { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens in prompt or output (CTRL, arXiv:1909.05858); 1 is off.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted once from the logit of every generated token.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Subtracted from a token's logit for every time it was generated.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Added to the logits of single tokens.</summary>
    public IReadOnlyDictionary<int, float>? LogitBias { get; init; }

    /// <summary>Determines, with choice and position, every draw.</summary>
    public ulong Seed { get; init; }

    /// <summary>Ids that end the sequence: the model's own (unless ignored) and the caller's.</summary>
    public IReadOnlySet<int> StopTokenIds { get; init; } = System.Collections.Frozen.FrozenSet<int>.Empty;

    /// <summary>Likeliest tokens to report with each token; null reports no log-probabilities.</summary>
    public int? TopLogprobs { get; init; }
}

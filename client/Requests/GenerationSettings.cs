namespace Granary.Client;

/// <summary>How to generate. What is null is as the model recommends, or else as OpenAI's API has it.</summary>
public sealed record GenerationSettings
{
    /// <summary>Choices of the prompt, at least 1.</summary>
    public int Choices { get; init; } = 1;

    /// <summary>Most tokens of each choice; null leaves it to the context (chat) or to OpenAI's 16 (completion).</summary>
    public int? MaxTokens { get; init; }

    public int? MinTokens { get; init; }

    /// <summary>0 (greedy) to 2.</summary>
    public float? Temperature { get; init; }

    /// <summary>In (0, 1].</summary>
    public float? TopP { get; init; }

    /// <summary>0 keeps all.</summary>
    public int? TopK { get; init; }

    /// <summary>In [0, 1].</summary>
    public float? MinP { get; init; }

    /// <summary>1 is off.</summary>
    public float? RepetitionPenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    public float? PresencePenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    public float? FrequencyPenalty { get; init; }

    /// <summary>Added to the logits of single tokens, -100 to 100, by token id.</summary>
    public IReadOnlyDictionary<int, float>? LogitBias { get; init; }

    /// <summary>The same request with the same seed gives the same text; null draws one.</summary>
    public long? Seed { get; init; }

    /// <summary>Texts that end a choice and are not part of it.</summary>
    public IReadOnlyList<string> Stops { get; init; } = [];

    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Generate past the model's own end.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>How many of the likeliest tokens to report with each, 0 to 20; null reports no log-probabilities.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary>Cached prefixes are shared within one salt only.</summary>
    public string? CacheSalt { get; init; }

    /// <summary>The conversation the request belongs to, by an id of the caller's: what it read and said stays cached until the next turn. It changes no answer.</summary>
    public string? SessionId { get; init; }

    /// <summary>The longest the whole request may take; null takes the client's.</summary>
    public TimeSpan? Timeout { get; init; }
}

namespace Granary.Client;

/// <summary>What came next of a generation.</summary>
public sealed record GenerationUpdate
{
    /// <summary>The response's id, the same in all its updates.</summary>
    public required string ResponseId { get; init; }

    /// <summary>The model that answers.</summary>
    public required string Model { get; init; }

    public required DateTimeOffset Created { get; init; }

    /// <summary>The choice's index.</summary>
    public int Choice { get; init; }

    /// <summary>Text that is now certain, possibly none.</summary>
    public string Text { get; init; } = "";

    /// <summary>Log-probabilities of the tokens this update is about, where they were asked for.</summary>
    public IReadOnlyList<TokenLogprob> Logprobs { get; init; } = [];

    /// <summary><c>stop</c> or <c>length</c> on a choice's last update.</summary>
    public string? FinishReason { get; init; }

    /// <summary>Of the whole response, on its last update.</summary>
    public GenerationUsage? Usage { get; init; }
}

/// <summary>One token, its natural log-probability, and the likeliest in its place, likeliest first.</summary>
public sealed record TokenLogprob(string Token, float Logprob, IReadOnlyList<(string Token, float Logprob)> Top);

/// <summary>Tokens of a response.</summary>
/// <param name="CachedPromptTokens">Prompt tokens whose KV was found in the cache.</param>
public sealed record GenerationUsage(int PromptTokens, int CachedPromptTokens, int CompletionTokens);

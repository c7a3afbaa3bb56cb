namespace Granary.Engine.Prompts;

/// <summary>What was asked of a prompt besides its continuation.</summary>
/// <param name="Logprobs">One entry for each token but the first: of the model's logits as they are, without bias or penalties.</param>
/// <param name="Embedding">[hidden size], neither normalised nor cut.</param>
public sealed record PromptOutput(LogprobRow[]? Logprobs, float[]? Embedding);

/// <summary>How the hidden states of a prompt's positions become one vector.</summary>
public enum Pooling
{
    /// <summary>Their mean over all positions.</summary>
    Mean,

    /// <summary>That of the last position.</summary>
    Last,
}

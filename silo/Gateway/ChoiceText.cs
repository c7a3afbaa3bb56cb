using System.Text;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>One choice of a response that is sent as a whole.</summary>
internal sealed class ChoiceText
{
    public StringBuilder Text { get; } = new();

    /// <summary>Log-probabilities of the prompt's tokens but the first, where they were asked for.</summary>
    public TokenLogprobs[]? PromptLogprobs { get; set; }

    /// <summary>Its tokens, where they were asked for.</summary>
    public List<int> TokenIds { get; } = [];

    /// <summary>Log-probabilities of its tokens, where they were asked for.</summary>
    public List<(int TokenId, TokenLogprobs Logprobs)> Logprobs { get; } = [];

    public string? FinishReason { get; set; }
}

/// <summary>Gathers choices until all are there.</summary>
internal sealed class WholeSink(int choices) : IChoiceSink
{
    public IReadOnlyList<ChoiceText> Choices { get; } = [.. Enumerable.Range(0, choices).Select(_ => new ChoiceText())];

    public ValueTask PromptAsync(int choice, TokenLogprobs[] prompt, CancellationToken cancellationToken)
    {
        Choices[choice].PromptLogprobs = prompt;
        return ValueTask.CompletedTask;
    }

    public ValueTask BeginAsync(int choice, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask WriteAsync(ChoiceDelta delta, CancellationToken cancellationToken)
    {
        var choice = Choices[delta.Choice];
        choice.Text.Append(delta.Text);
        if (delta.TokenId >= 0) choice.TokenIds.Add(delta.TokenId);
        if (delta.Logprobs is { } logprobs) choice.Logprobs.Add((delta.TokenId, logprobs));
        return ValueTask.CompletedTask;
    }

    public ValueTask FlushAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask EndAsync(ChoiceEnd end, CancellationToken cancellationToken)
    {
        Choices[end.Choice].FinishReason = end.FinishReason;
        return ValueTask.CompletedTask;
    }
}

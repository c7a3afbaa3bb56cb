using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>What one token added to a choice.</summary>
/// <param name="Choice">The choice's index in the response.</param>
/// <param name="Text">Text that is now certain, possibly none.</param>
/// <param name="TokenId">The token; -1 where nothing is to be reported of it.</param>
/// <param name="Progress">The choice's tokens up to this one.</param>
/// <param name="IsLast">Whether the choice's end follows.</param>
internal readonly record struct ChoiceDelta(
    int Choice, string Text, int TokenId, TokenLogprobs? Logprobs, ChoiceProgress Progress = default, bool IsLast = false);

/// <summary>Tokens of a choice so far.</summary>
internal readonly record struct ChoiceProgress(int GeneratedTokens, int CachedPromptTokens);

/// <summary>How a choice ended.</summary>
/// <param name="FinishReason"><c>stop</c> or <c>length</c>.</param>
/// <param name="LogprobSum">Of all its tokens, the one that ended it included; 0 where none were asked for.</param>
internal readonly record struct ChoiceEnd(int Choice, string FinishReason, int GeneratedTokens, int CachedPromptTokens, double LogprobSum = 0);

/// <summary>Takes the choices of one response, as they are generated. Calls of one choice are in order; choices run side by side.</summary>
internal interface IChoiceSink
{
    /// <summary>Called before <see cref="BeginAsync"/> where log-probabilities of the prompt were asked for: one for each of its tokens but the first.</summary>
    ValueTask PromptAsync(int choice, TokenLogprobs[] prompt, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Called once per choice, when its first token is there.</summary>
    ValueTask BeginAsync(int choice, CancellationToken cancellationToken);

    ValueTask WriteAsync(ChoiceDelta delta, CancellationToken cancellationToken);

    /// <summary>Sends what has been written. Called before waiting for a token, so that tokens that are there go out together.</summary>
    ValueTask FlushAsync(CancellationToken cancellationToken);

    ValueTask EndAsync(ChoiceEnd end, CancellationToken cancellationToken);
}

/// <summary>Tokens of a whole response.</summary>
internal readonly record struct Usage(int PromptTokens, int CachedPromptTokens, int CompletionTokens)
{
    /// <summary>Of a response, in progress or whole. Each prompt counts once; what its first choice found in the cache is what it saved.</summary>
    /// <param name="choices">By index; those that have not begun count nothing.</param>
    public static Usage Of(GenerationPlan plan, ReadOnlySpan<ChoiceProgress> choices)
    {
        var (cached, generated) = (0, 0);
        for (var i = 0; i < choices.Length; i++)
        {
            generated += choices[i].GeneratedTokens;
            if (i % plan.ChoicesPerPrompt == 0) cached += choices[i].CachedPromptTokens;
        }

        return new(plan.PromptTokens, cached, generated);
    }

    /// <param name="ends">By index, as the runner gives them.</param>
    public static Usage Of(GenerationPlan plan, ChoiceEnd[] ends) =>
        Of(plan, Array.ConvertAll(ends, end => new ChoiceProgress(end.GeneratedTokens, end.CachedPromptTokens)));
}

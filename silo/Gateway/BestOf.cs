namespace Granary.Silo.Gateway;

/// <summary>Chooses which of a prompt's choices are sent.</summary>
internal static class BestOf
{
    /// <summary>The likeliest choices of each prompt by mean log-probability per token, likeliest first; all as they are where none are to be chosen.</summary>
    /// <param name="choices">Of all prompts, in the order of the plan.</param>
    /// <param name="ends">In the same order.</param>
    public static IReadOnlyList<ChoiceText> Select(GenerationPlan plan, IReadOnlyList<ChoiceText> choices, ChoiceEnd[] ends)
    {
        if (plan.BestOfPrompt is not { } kept) return choices;
        return
        [
            .. Enumerable.Range(0, plan.Prompts.Length).SelectMany(prompt => ends
                .Skip(prompt * plan.ChoicesPerPrompt).Take(plan.ChoicesPerPrompt)
                .OrderByDescending(Mean).Take(kept) // A stable order: the first of equals stays first.
                .Select(end => choices[end.Choice])),
        ];
    }

    private static double Mean(ChoiceEnd end) => end.GeneratedTokens == 0 ? double.NegativeInfinity : end.LogprobSum / end.GeneratedTokens;
}

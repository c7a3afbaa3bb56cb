using Granary.GrainInterfaces;

namespace Granary.Client;

/// <summary>Shows tokens and their log-probabilities as the API does.</summary>
internal static class TokenTexts
{
    /// <summary>JSON has no infinity; OpenAI's own stand-in for a token that cannot be.</summary>
    private const float Impossible = -9999;

    public static TokenLogprob Read(GrainPlan plan, int id, TokenLogprobs logprobs)
    {
        var top = logprobs.TopTokenIds.Select((token, i) => (Text(plan, token), Finite(logprobs.Top[i])));
        // A completion's are an object by text: of two tokens with one text, the likelier stays.
        return new(Text(plan, id), Finite(logprobs.Chosen), [.. plan.IsChat ? top : top.DistinctBy(entry => entry.Item1, StringComparer.Ordinal)]);
    }

    private static string Text(GrainPlan plan, int id) => plan.Model.Tokenizer.Decode([id], skipSpecialTokens: false);

    private static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : Impossible;
}

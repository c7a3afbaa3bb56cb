using Granary.Text.Tokenization;

namespace Granary.Silo.Gateway;

/// <summary>One token as log-probabilities show it.</summary>
/// <param name="IsWhole">False where the token is part of a character, so that its text is not its bytes.</param>
internal readonly record struct TokenText(string Text, bool IsWhole)
{
    /// <summary>JSON has no infinity; OpenAI's own stand-in for a token that cannot be.</summary>
    private const float Impossible = -9999;

    public static TokenText Of(TextTokenizer tokenizer, int id)
    {
        var text = tokenizer.Decode([id], skipSpecialTokens: false);
        return new(text, !text.Contains('\ufffd'));
    }

    public static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : Impossible;
}

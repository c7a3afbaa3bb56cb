using System.Globalization;

namespace Granary.Client.Cli.Chat;

/// <summary>Figures of one answer.</summary>
/// <param name="FirstToken">From asking to the first text; null where there was none.</param>
/// <param name="Decoding">From the first text to the last.</param>
/// <param name="Usage">Null of an answer that was ended early, and of a server that does not count.</param>
/// <param name="EndedEarly">Whether the person had read enough.</param>
internal sealed record ChatFigures(TimeSpan? FirstToken, TimeSpan Decoding, GenerationUsage? Usage, bool EndedEarly)
{
    /// <summary>Of the tokens after the first; null where there is no telling.</summary>
    public double? TokensPerSecond => Usage is { CompletionTokens: > 1 } usage && Decoding > TimeSpan.Zero ? (usage.CompletionTokens - 1) / Decoding.TotalSeconds : null;

    /// <summary>One line for people.</summary>
    public override string ToString()
    {
        var parts = new List<string>();
        parts.Add(FirstToken is { } first ? string.Create(CultureInfo.InvariantCulture, $"first token after {first.TotalMilliseconds:0.0} ms") : "no text");
        if (TokensPerSecond is { } rate) parts.Add(string.Create(CultureInfo.InvariantCulture, $"{rate:0.0} tokens/s"));
        if (Usage is { } usage)
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"{usage.PromptTokens} prompt tokens, {usage.CachedPromptTokens} cached, {usage.CompletionTokens} generated"));
        if (EndedEarly) parts.Add("ended early");
        return $"[{string.Join(", ", parts)}]";
    }
}

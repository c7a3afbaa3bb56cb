namespace Granary.Routing;

/// <summary>What requests that were sent to a replica will have it do.</summary>
/// <param name="Requests">How many they are.</param>
/// <param name="PromptTokens">Tokens of their prompts: the room they take in its cache.</param>
/// <param name="PrefillTokens">Those of them that it was not expected to have in its cache.</param>
/// <param name="PrefillSeconds">What computing these was expected to take.</param>
public readonly record struct BookedWork(int Requests, long PromptTokens, long PrefillTokens, double PrefillSeconds)
{
    public static BookedWork operator +(BookedWork one, BookedWork other) => new(
        one.Requests + other.Requests, one.PromptTokens + other.PromptTokens,
        one.PrefillTokens + other.PrefillTokens, one.PrefillSeconds + other.PrefillSeconds);

    public static BookedWork operator -(BookedWork one, BookedWork other) => new(
        one.Requests - other.Requests, one.PromptTokens - other.PromptTokens,
        one.PrefillTokens - other.PrefillTokens, one.PrefillSeconds - other.PrefillSeconds);
}

namespace Granary.Client;

/// <summary>Ids that callers give to sessions.</summary>
public static class SessionIds
{
    /// <summary>What an id is, for messages.</summary>
    public const string Rule = "1 to 256 visible ASCII characters other than '/'";

    /// <remarks>It is part of a path and of a grain's key.</remarks>
    public static bool IsId(string text) => text.Length is > 0 and <= GenerationLimits.MaxNameLength && text.All(c => c is > ' ' and < '\x7f' and not '/');
}

using Granary.Engine.Kv;

namespace Granary.GrainInterfaces.Routing;

/// <summary>Names the full KV blocks of a prompt as engines do, in 64 bits: enough to foretell what a cache has, where a wrong guess costs time only.</summary>
/// <remarks>The low halves of the names that engines tell in their events. Each name covers the salt and all tokens up to the block's end.</remarks>
public static class PromptBlocks
{
    /// <summary>Tokens of a block, unless a replica says otherwise.</summary>
    public const int DefaultTokens = 16;

    /// <summary>Names of the full blocks that a cache could provide: the prompt's last token is always computed.</summary>
    /// <param name="tokenIds">The whole prompt, replayed tokens included.</param>
    /// <param name="cacheSalt">Prompts share nothing across salts.</param>
    /// <param name="blockTokens">Tokens of a block, at least 1.</param>
    public static ulong[] Of(ReadOnlySpan<int> tokenIds, string? cacheSalt = null, int blockTokens = DefaultTokens) =>
        [.. new BlockNames(cacheSalt, blockTokens).Of(tokenIds)];

    /// <summary>Names a whole prompt, given the names of its blocks.</summary>
    public static ulong Fingerprint(ReadOnlySpan<int> tokenIds, ReadOnlySpan<ulong> blocks, string? cacheSalt = null, int blockTokens = DefaultTokens)
    {
        var before = blocks.IsEmpty ? BlockHash.Root(cacheSalt) : blocks[^1];
        return (ulong)BlockHash.Next(before, tokenIds[(blocks.Length * blockTokens)..]);
    }
}

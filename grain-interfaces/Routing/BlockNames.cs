using Granary.Engine.Kv;

namespace Granary.GrainInterfaces.Routing;

/// <summary>Names the full KV blocks of one sequence that grows, as <see cref="PromptBlocks.Of"/> does, and reads each token once.</summary>
/// <remarks>Not safe for several threads.</remarks>
/// <param name="cacheSalt">Prompts share nothing across salts.</param>
public sealed class BlockNames(string? cacheSalt, int blockTokens = PromptBlocks.DefaultTokens)
{
    private ulong[] _names = [];
    private UInt128 _last = BlockHash.Root(cacheSalt);
    private int _count;

    /// <summary>Tokens of a block.</summary>
    public int BlockTokens { get; } = blockTokens >= 1
        ? blockTokens
        : throw new ArgumentOutOfRangeException(nameof(blockTokens), blockTokens, "A block has at least 1 token.");

    /// <summary>Names of the full blocks that a cache could provide: the last token is always computed.</summary>
    /// <param name="tokenIds">All tokens so far: those of the call before, unchanged, and any number behind them.</param>
    /// <returns>Valid until the next call.</returns>
    public ReadOnlySpan<ulong> Of(ReadOnlySpan<int> tokenIds)
    {
        var count = Math.Max(0, tokenIds.Length - 1) / BlockTokens;
        if (count > _names.Length) Array.Resize(ref _names, count);
        for (; _count < count; _count++)
        {
            _last = BlockHash.Next(_last, tokenIds.Slice(_count * BlockTokens, BlockTokens));
            _names[_count] = (ulong)_last;
        }

        return _names.AsSpan(0, count);
    }
}

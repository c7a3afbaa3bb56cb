using Granary.Engine.Kv;

namespace Granary.Tests.Support.Replay;

/// <summary>Tokens that stand for the blocks of a trace, and their names: cheap to make and to tell apart.</summary>
internal static class ReplayTokens
{
    /// <summary>A block's first token tells what it holds, the others are 0; generated tokens are above 0 and differ between requests.</summary>
    public static int[] Prompt(TraceRequest request, int blockTokens)
    {
        var tokens = new int[request.PromptTokens];
        for (var i = 0; i < request.Blocks.Length; i++) tokens[i * blockTokens] = request.Blocks[i] + 1;
        return tokens;
    }

    public static int Generated(int request, int index) => (int)(Mix((ulong)request << 32 | (uint)index) >> 34) + 1;

    /// <summary>The name of a block after another: of its first and last token, as the others say nothing more.</summary>
    public static UInt128 Name(UInt128 previous, ReadOnlySpan<int> tokens)
    {
        var low = Mix((ulong)previous ^ Mix((ulong)(uint)tokens[0] << 32 | (uint)tokens[^1]));
        return new UInt128(Mix(low), low);
    }

    /// <summary>Names of the full blocks that a cache could provide, as routers are told them.</summary>
    public static ulong[] Names(ReadOnlySpan<int> tokens, int blockTokens)
    {
        var names = new ulong[Math.Max(0, tokens.Length - 1) / blockTokens];
        var name = BlockHash.Root(null);
        for (var i = 0; i < names.Length; i++)
        {
            name = Name(name, tokens.Slice(i * blockTokens, blockTokens));
            names[i] = (ulong)name;
        }

        return names;
    }

    /// <summary>The finalizer of SplitMix64.</summary>
    private static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

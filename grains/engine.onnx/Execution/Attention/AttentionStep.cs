namespace Granary.Engine.Onnx.Execution;

/// <summary>One layer's attention in one step: sizes, tensors and work items, as kernels on any thread read them.</summary>
/// <remarks>
/// H query heads, K KV heads, d head size, T tokens. A KV block holds, head by head, tiles of 16 tokens: keys as [d][16], so that one
/// query element meets 16 tokens in a register; values as [16][d]. Both tiles of a head start at the same offset of their cache.
/// All memory is native and outlives the call.
/// </remarks>
internal unsafe struct AttentionStep
{
    /// <summary>Tokens of a tile; blocks are a multiple of it.</summary>
    public const int TileTokens = 16;

    public int Heads;
    public int KvHeads;
    public int HeadSize;
    public int BlockTokens;
    public int TableWidth;
    public float Scale;

    /// <summary>0 is off.</summary>
    public float Softcap;

    /// <summary>Most tokens a query sees, itself included; 0 or less is all.</summary>
    public int Window;

    /// <summary>Pairs that are rotated: half of the rotary width; 0 is no rotation.</summary>
    public int RotaryPairs;
    public bool Interleaved;
    public float NormEpsilon;

    /// <summary>Rows of T tokens, <see cref="QueryStride"/> floats apart.</summary>
    public float* Query;
    public float* Key;
    public float* Value;
    public nint QueryStride;
    public nint KeyStride;

    public float* KeyCache;
    public float* ValueCache;
    public int* BlockTable;

    /// <summary>[positions, pairs]</summary>
    public float* Cosine;
    public float* Sine;

    /// <summary>[d] each, or null.</summary>
    public float* QueryNorm;
    public float* KeyNorm;

    /// <summary>[T, H·d]</summary>
    public float* Output;

    /// <summary>[T, H·d]: normalized, rotated and scaled queries.</summary>
    public float* Rotated;
    public TokenPlace* Places;
    public int TokenCount;
    public AttentionUnit* Units;

    /// <summary>Handle of the <see cref="PagedAttentionKernel"/> that takes the failure of a worker.</summary>
    public nint Owner;

    /// <summary>Floats from the cache's start to the tile of a sequence's head.</summary>
    public readonly nint TileOffset(int sequence, int kvHead, int tile)
    {
        // Blocks of one tile, the usual ones, need no division.
        var (entry, place) = BlockTokens == TileTokens ? (tile, 0) : Math.DivRem(tile, BlockTokens / TileTokens);
        nint block = BlockTable[((nint)sequence * TableWidth) + entry];
        return ((((block * KvHeads) + kvHead) * BlockTokens) + (place * TileTokens)) * HeadSize;
    }
}

/// <summary>Where a token's key and value go.</summary>
internal struct TokenPlace
{
    public int Sequence;
    public int Position;
}

/// <summary>A work item: some tokens of one sequence with the query heads that share one KV head.</summary>
internal struct AttentionUnit
{
    public int Sequence;
    public int KvHead;

    /// <summary>Tokens [first, end) of the step.</summary>
    public int FirstToken;
    public int EndToken;
}

using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The KV cache of one shard: keys and values of its layers and KV heads, in native memory.</summary>
/// <remarks>Pages that no block has used yet are address space only, so a generous size costs nothing before it is needed.</remarks>
internal sealed unsafe class KvCacheMemory : IDisposable
{
    /// <summary>Tokens of a block.</summary>
    public const int BlockTokens = AttentionStep.TileTokens;

    // Large pages save the walks that a cache read in 4 KiB pieces would otherwise pay.
    private const nuint Alignment = 1 << 21;
    private const int AdviseHugePages = 14; // MADV_HUGEPAGE

    private readonly nuint _tensorBytes;
    private readonly int _firstLayer;
    private byte* _memory;

    public KvCacheMemory(ModelDescription model, int blockCount)
    {
        var part = model.Part;
        BlockCount = blockCount;
        _firstLayer = part.Layers.First;
        TensorElements = (long)blockCount * BlockTokens * part.KvHeads.Count * model.HeadSize;
        _tensorBytes = ((nuint)(TensorElements * sizeof(float)) + 63) & ~(nuint)63;
        var bytes = checked(_tensorBytes * (nuint)part.Layers.Count * 2);
        _memory = (byte*)NativeMemory.AlignedAlloc(bytes, Alignment);
        if (OperatingSystem.IsLinux() && bytes >= 16 * Alignment) _ = MemoryAdvise(_memory, bytes, AdviseHugePages); // A refusal costs speed only.
    }

    ~KvCacheMemory() => Free();

    public int BlockCount { get; }

    /// <summary>Floats of one layer's keys, or values.</summary>
    public long TensorElements { get; }

    /// <param name="layer">The model's number of one of the shard's layers.</param>
    public float* Keys(int layer) => (float*)(_memory + ((nuint)(layer - _firstLayer) * 2 * _tensorBytes));

    /// <inheritdoc cref="Keys"/>
    public float* Values(int layer) => (float*)(_memory + ((((nuint)(layer - _firstLayer) * 2) + 1) * _tensorBytes));

    /// <summary>Bytes that one block takes in all layers of the shard.</summary>
    public static long BlockBytes(ModelDescription model) =>
        2L * model.Part.Layers.Count * BlockTokens * model.Part.KvHeads.Count * model.HeadSize * sizeof(float);

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    [DllImport("libc", EntryPoint = "madvise")]
    private static extern int MemoryAdvise(void* address, nuint length, int advice);
}

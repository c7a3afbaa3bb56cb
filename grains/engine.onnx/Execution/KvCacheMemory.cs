using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Import;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The KV cache of one shard on the CPU: keys and values of its layers and KV heads, in native memory.</summary>
/// <remarks>Pages that no block has used yet are address space only, so a generous size costs nothing before it is needed.</remarks>
internal sealed unsafe class KvCacheMemory : IKvCache, IKvBlockStore
{
    // Large pages save the walks that a cache read in 4 KiB pieces would otherwise pay.
    private const nuint Alignment = 1 << 21;
    private const int AdviseHugePages = 14; // MADV_HUGEPAGE

    private readonly OrtValue[] _values;
    private readonly nuint _stride;
    private readonly int _blockBytesOfTensor;
    private byte* _memory;

    public KvCacheMemory(ModelDescription model, ExecutorShape whole)
    {
        var part = model.Part;
        long[] shape = [whole.KvBlockCount, whole.KvBlockTokens, part.KvHeads.Count, model.HeadSize];
        var tensorBytes = shape.Aggregate((long)sizeof(float), (product, dimension) => checked(product * dimension));
        var stride = _stride = ((nuint)tensorBytes + 63) & ~(nuint)63;
        _blockBytesOfTensor = checked((int)(tensorBytes / whole.KvBlockCount));
        _values = new OrtValue[part.Layers.Count * 2];
        var bytes = checked(stride * (nuint)_values.Length);
        _memory = (byte*)NativeMemory.AlignedAlloc(bytes, Alignment);
        if (OperatingSystem.IsLinux() && bytes >= 16 * Alignment) _ = MemoryAdvise(_memory, bytes, AdviseHugePages); // A refusal costs speed only.
        for (var i = 0; i < _values.Length; i++)
        {
            _values[i] = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, TensorElementType.Float, shape, (nint)(_memory + ((nuint)i * stride)), tensorBytes);
        }
    }

    ~KvCacheMemory() => Free();

    /// <inheritdoc/>
    public int BlockBytes => checked(_blockBytesOfTensor * _values.Length);

    /// <inheritdoc/>
    public void Read(int block, Span<byte> content)
    {
        for (var i = 0; i < _values.Length; i++) PartOf(block, i).CopyTo(content[(i * _blockBytesOfTensor)..]);
    }

    /// <inheritdoc/>
    public void Write(int block, ReadOnlySpan<byte> content)
    {
        for (var i = 0; i < _values.Length; i++) content.Slice(i * _blockBytesOfTensor, _blockBytesOfTensor).CopyTo(PartOf(block, i));
    }

    public OrtValue Keys(int place) => _values[place * 2];

    public OrtValue Values(int place) => _values[(place * 2) + 1];

    public void Dispose()
    {
        foreach (var value in _values) value.Dispose();
        Free();
        GC.SuppressFinalize(this);
    }

    /// <summary>A block's keys or values of one layer, which lie together.</summary>
    private Span<byte> PartOf(int block, int tensor) =>
        new(_memory + ((nuint)tensor * _stride) + ((nuint)block * (nuint)_blockBytesOfTensor), _blockBytesOfTensor);

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    [DllImport("libc", EntryPoint = "madvise")]
    private static extern int MemoryAdvise(void* address, nuint length, int advice);
}

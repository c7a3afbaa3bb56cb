using System.Runtime.InteropServices;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Native memory that grows and is kept; what it held is lost when it grows.</summary>
internal sealed unsafe class NativeBuffer
{
    private const nuint Alignment = 64;
    private void* _memory;
    private nuint _bytes;

    ~NativeBuffer() => NativeMemory.AlignedFree(_memory);

    public T* Get<T>(nint count)
        where T : unmanaged
    {
        var bytes = checked((nuint)count * (nuint)sizeof(T));
        if (bytes > _bytes)
        {
            var size = nuint.Max(bytes, _bytes * 2);
            var larger = NativeMemory.AlignedAlloc(size, Alignment);
            NativeMemory.AlignedFree(_memory);
            _memory = larger;
            _bytes = size;
        }

        return (T*)_memory;
    }
}

/// <summary>What a thread needs while it computes attention; kept from layer to layer and step to step.</summary>
internal sealed class AttentionScratch
{
    [ThreadStatic]
    private static AttentionScratch? _current;

    private AttentionScratch()
    {
    }

    public static AttentionScratch Current => _current ??= new();

    /// <summary>Scores of the rows that a worker computes together, and their sums of values.</summary>
    public NativeBuffer Scores { get; } = new();

    public NativeBuffer Rotated { get; } = new();

    public NativeBuffer Places { get; } = new();

    public NativeBuffer Units { get; } = new();
}

using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>A tensor; its data can be looked at where they lie in memory of the CPU.</summary>
public class OrtValue : IDisposable
{
    private nint _handle;

    internal OrtValue(nint handle) => _handle = handle;

    ~OrtValue() => Dispose(false);

    public bool IsTensor => true;

    internal nint Handle => _handle;

    /// <summary>A tensor over memory that somebody else keeps alive and frees.</summary>
    public static unsafe OrtValue CreateTensorValueWithData(
        OrtMemoryInfo memInfo, TensorElementType elementType, long[] shape, IntPtr dataBufferPtr, long bufferLengthInBytes)
    {
        long bytes = SizeOf(elementType);
        foreach (var dimension in shape) bytes = checked(bytes * dimension);
        if (bytes > bufferLengthInBytes)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"A tensor of {bytes} bytes does not fit into a buffer of {bufferLengthInBytes}.");
        }

        nint value;
        fixed (long* dimensions = shape)
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, nint, nint, long*, nint, int, nint*, nint>)OrtTable.Of(Entry.CreateTensorWithDataAsOrtValue))(
                memInfo.Pointer, dataBufferPtr, (nint)bufferLengthInBytes, dimensions, shape.Length, (int)elementType, &value));
        }

        return new OrtValue(value);
    }

    /// <summary>A tensor in memory that the allocator gives, and takes back with the value.</summary>
    public static unsafe OrtValue CreateAllocatedTensorValue(OrtAllocator allocator, TensorElementType elementType, long[] shape)
    {
        nint value;
        fixed (long* dimensions = shape)
        {
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, long*, nint, int, nint*, nint>)OrtTable.Of(Entry.CreateTensorAsOrtValue))(
                allocator.Pointer, dimensions, shape.Length, (int)elementType, &value));
        }

        return new OrtValue(value);
    }

    public ReadOnlySpan<T> GetTensorDataAsSpan<T>()
        where T : unmanaged => GetTensorMutableDataAsSpan<T>();

    public unsafe Span<T> GetTensorMutableDataAsSpan<T>()
        where T : unmanaged
    {
        ObjectDisposedException.ThrowIf(_handle == 0, this);
        var info = OrtTable.Get(Entry.GetTensorTypeAndShape, _handle);
        try
        {
            var elements = OrtTable.Get(Entry.GetTensorShapeElementCount, info);
            int type;
            OrtTable.Check(((delegate* unmanaged[Cdecl]<nint, int*, nint>)OrtTable.Of(Entry.GetTensorElementType))(info, &type));
            if (SizeOf((TensorElementType)type) != sizeof(T))
            {
                throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"The tensor's element type is {(TensorElementType)type}, not {typeof(T).Name}.");
            }

            return new Span<T>((void*)OrtTable.Get(Entry.GetTensorMutableData, _handle), checked((int)elements));
        }
        finally
        {
            OrtTable.Release(Entry.ReleaseTensorTypeAndShapeInfo, info);
        }
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        var handle = Interlocked.Exchange(ref _handle, 0);
        if (handle != 0) OrtTable.Release(Entry.ReleaseValue, handle);
    }

    private static int SizeOf(TensorElementType type) => type switch
    {
        TensorElementType.UInt8 or TensorElementType.Int8 or TensorElementType.Bool => 1,
        TensorElementType.UInt16 or TensorElementType.Int16 or TensorElementType.Float16 or TensorElementType.BFloat16 => 2,
        TensorElementType.Float or TensorElementType.Int32 or TensorElementType.UInt32 => 4,
        TensorElementType.Double or TensorElementType.Int64 or TensorElementType.UInt64 => 8,
        _ => throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"Tensors of {type} cannot be made over given memory."),
    };
}

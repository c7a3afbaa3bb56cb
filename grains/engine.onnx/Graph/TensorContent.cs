using System.Buffers;
using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Import.Safetensors;

namespace Granary.Engine.Onnx.Graph;

/// <summary>ONNX's numbers for the element types that our graphs use.</summary>
internal enum OnnxElementType
{
    Float = 1,
    UInt8 = 2,
    Int32 = 6,
    Float16 = 10,
    BFloat16 = 16,
}

/// <summary>A constant of a graph: shape and type are known at once, the bytes are produced when they are written.</summary>
internal abstract class TensorContent(OnnxElementType elementType, params long[] dimensions)
{
    public OnnxElementType ElementType { get; } = elementType;

    public long[] Dimensions { get; } = dimensions;

    public long ByteLength => Dimensions.Aggregate(ElementBytes, (product, dimension) => checked(product * dimension));

    private long ElementBytes => ElementType switch
    {
        OnnxElementType.UInt8 => 1,
        OnnxElementType.Float16 or OnnxElementType.BFloat16 => 2,
        _ => 4,
    };

    /// <summary>Writes exactly <see cref="ByteLength"/> bytes, row-major, little endian.</summary>
    public abstract void WriteTo(TensorSink sink);
}

/// <summary>Takes the bytes of constants one after the other, counts them and lets a cancellation through.</summary>
internal sealed class TensorSink(Stream stream, Action<long> written, CancellationToken cancellationToken)
{
    private long _position;

    public long Position => _position;

    public void Write(ReadOnlySpan<byte> bytes)
    {
        cancellationToken.ThrowIfCancellationRequested();
        stream.Write(bytes);
        _position += bytes.Length;
        written(_position);
    }

    public void Write(ReadOnlySpan<float> values) => Write(MemoryMarshal.AsBytes(values));

    /// <summary>Writes values as elements of a type: float32, or rounded to the nearest of 16 bits.</summary>
    /// <exception cref="OverflowException">A finite value has no finite neighbour in the type.</exception>
    public void Write(ReadOnlySpan<float> values, OnnxElementType type)
    {
        if (type == OnnxElementType.Float)
        {
            Write(values);
            return;
        }

        var halves = ArrayPool<ushort>.Shared.Rent(values.Length);
        FloatConversion.FromSingle(values, halves, type == OnnxElementType.BFloat16);
        Write(MemoryMarshal.AsBytes(halves.AsSpan(0, values.Length)));
        ArrayPool<ushort>.Shared.Return(halves);
    }

    /// <summary>Writes zeros up to <paramref name="position"/>.</summary>
    public void PadTo(long position)
    {
        while (_position < position) Write(Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, position - _position)));
    }

    private static readonly byte[] Zeros = new byte[GraphBuilder.WeightAlignment];
}

namespace Granary.Engine.Onnx.Graph;

/// <summary>ONNX's numbers for the element types that our graphs use.</summary>
internal enum OnnxElementType
{
    Float = 1,
    UInt8 = 2,
    Int32 = 6,
}

/// <summary>A constant of a graph: shape and type are known at once, the bytes are produced when they are written.</summary>
internal abstract class TensorContent(OnnxElementType elementType, params long[] dimensions)
{
    public OnnxElementType ElementType { get; } = elementType;

    public long[] Dimensions { get; } = dimensions;

    public long ByteLength => Dimensions.Aggregate(ElementType == OnnxElementType.UInt8 ? 1L : 4L, (product, dimension) => checked(product * dimension));

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

    public void Write(ReadOnlySpan<float> values) => Write(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values));

    /// <summary>Writes zeros up to <paramref name="position"/>.</summary>
    public void PadTo(long position)
    {
        while (_position < position) Write(Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, position - _position)));
    }

    private static readonly byte[] Zeros = new byte[GraphBuilder.WeightAlignment];
}

using System.Buffers;
using Granary.Engine.Onnx.Graph;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>A matrix as MatMulNBits takes it: integers [outputs, blocks, bytes a block] and scales [outputs · blocks].</summary>
/// <remarks>
/// Blocks run along the inputs; the last one of a row is filled with zeros. Both constants come from one pass: writing the
/// integers keeps the scales, writing the scales lets go of them, so the integers must be written first.
/// </remarks>
internal sealed class QuantizedMatrix
{
    private const int ChunkElements = 1 << 21;

    private readonly MatrixSource _source;
    private readonly int _bits;
    private readonly int _blocks;
    private float[]? _scales;

    public QuantizedMatrix(MatrixSource source, int bits)
    {
        _source = source;
        _bits = bits;
        _blocks = checked((int)((source.Columns + BlockQuantizer.BlockSize - 1) / BlockQuantizer.BlockSize));
        Integers = new IntegerContent(this);
        Scales = new ScaleContent(this);
    }

    public TensorContent Integers { get; }

    public TensorContent Scales { get; }

    private int BlockBytes => BlockQuantizer.BlockSize * _bits / 8;

    private void WriteIntegers(TensorSink sink)
    {
        var rowBytes = _blocks * BlockBytes;
        var chunkRows = (int)Math.Clamp(ChunkElements / _source.Columns, 1, _source.Rows);
        var buffer = ArrayPool<byte>.Shared.Rent(chunkRows * rowBytes);
        _scales = new float[checked(_source.Rows * _blocks)];
        for (var first = 0L; first < _source.Rows; first += chunkRows)
        {
            var start = first;
            var rows = (int)Math.Min(chunkRows, _source.Rows - first);
            try
            {
                Parallel.For(0, rows, row => Quantize(start + row, buffer.AsSpan(row * rowBytes, rowBytes)));
            }
            catch (AggregateException e) when (e.InnerException is ModelImportException refusal)
            {
                throw new ModelImportException(refusal.Message, refusal);
            }

            sink.Write(buffer.AsSpan(0, rows * rowBytes));
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }

    private void Quantize(long row, Span<byte> bytes)
    {
        var padded = _blocks * BlockQuantizer.BlockSize;
        var buffer = ArrayPool<float>.Shared.Rent(padded);
        var weights = buffer.AsSpan(0, padded);
        weights[(int)_source.Columns..].Clear();
        _source.Read(row, 0, weights[..(int)_source.Columns]);
        for (var block = 0; block < _blocks; block++)
        {
            var values = weights.Slice(block * BlockQuantizer.BlockSize, BlockQuantizer.BlockSize);
            if (!AreFinite(values)) throw new ModelImportException($"{_source.Describe(row)} holds a weight that is not finite and cannot be quantised.");
            var target = bytes.Slice(block * BlockBytes, BlockBytes);
            _scales![row * _blocks + block] = _bits == 8 ? BlockQuantizer.ToInt8(values, target) : BlockQuantizer.ToInt4(values, target);
        }

        ArrayPool<float>.Shared.Return(buffer);
    }

    private static bool AreFinite(ReadOnlySpan<float> values)
    {
        foreach (var value in values)
        {
            if (!float.IsFinite(value)) return false;
        }

        return true;
    }

    private sealed class IntegerContent(QuantizedMatrix matrix) : TensorContent(OnnxElementType.UInt8, matrix._source.Rows, matrix._blocks, matrix.BlockBytes)
    {
        public override void WriteTo(TensorSink sink) => matrix.WriteIntegers(sink);
    }

    private sealed class ScaleContent(QuantizedMatrix matrix) : TensorContent(OnnxElementType.Float, matrix._source.Rows * matrix._blocks)
    {
        public override void WriteTo(TensorSink sink)
        {
            sink.Write(matrix._scales ?? throw new InvalidOperationException("Scales are written behind their integers."));
            matrix._scales = null;
        }
    }
}

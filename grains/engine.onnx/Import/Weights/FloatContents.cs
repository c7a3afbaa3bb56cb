using System.Buffers;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import.Configuration;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>Parts of a checkpoint's tensors in their own order, one behind the other: norms, biases, the embedding table.</summary>
/// <remarks>Where the parts hold fewer elements than the dimensions, zeros follow.</remarks>
internal sealed class PlainContent(OnnxElementType type, long[] dimensions, params TensorRange[] parts) : TensorContent(type, dimensions)
{
    private const int ChunkElements = 1 << 18;

    public override void WriteTo(TensorSink sink)
    {
        var end = sink.Position + ByteLength;
        var buffer = ArrayPool<float>.Shared.Rent(ChunkElements);
        foreach (var part in parts)
        {
            for (var first = 0L; first < part.Count; first += ChunkElements)
            {
                var chunk = buffer.AsSpan(0, (int)Math.Min(ChunkElements, part.Count - first));
                part.Tensor.Read(part.First + first, chunk);
                sink.Write(chunk, ElementType);
            }
        }

        sink.PadTo(end);

        ArrayPool<float>.Shared.Return(buffer);
    }
}

/// <summary>A matrix as [inputs, outputs]: the order that MatMul takes its right side in.</summary>
/// <remarks>
/// Works in bands of input columns: a band of all outputs is gathered in memory and written in one go. Within a band, tiles of
/// a few source rows stay in the first cache while they are turned.
/// </remarks>
internal sealed class TransposedContent(OnnxElementType type, MatrixSource source) : TensorContent(type, source.Columns, source.Rows)
{
    private const int BandElements = 1 << 22;
    private const int TileRows = 16;
    private const int MaxBandColumns = 256;

    public override void WriteTo(TensorSink sink)
    {
        var rows = checked((int)source.Rows);
        var bandColumns = (int)Math.Min(source.Columns, Math.Clamp(BandElements / rows, TileRows, MaxBandColumns));
        var band = ArrayPool<float>.Shared.Rent(checked(bandColumns * rows));
        var tile = ArrayPool<float>.Shared.Rent(TileRows * bandColumns);
        for (var column = 0L; column < source.Columns; column += bandColumns)
        {
            var width = (int)Math.Min(bandColumns, source.Columns - column);
            for (var row = 0; row < rows; row += TileRows) Turn(column, row, Math.Min(TileRows, rows - row), width, tile, band);
            sink.Write(band.AsSpan(0, width * rows), ElementType);
        }

        ArrayPool<float>.Shared.Return(tile);
        ArrayPool<float>.Shared.Return(band);
    }

    private void Turn(long column, int row, int height, int width, float[] tile, float[] band)
    {
        for (var r = 0; r < height; r++) source.Read(row + r, column, tile.AsSpan(r * width, width));
        var rows = (int)source.Rows;
        for (var c = 0; c < width; c++)
        {
            var target = band.AsSpan(c * rows + row, height);
            for (var r = 0; r < target.Length; r++) target[r] = tile[r * width + c];
        }
    }
}

/// <summary>cos or sin of all positions [positions, rotary / 2].</summary>
internal sealed class RotaryContent(OnnxElementType type, RotaryScaling rotary, int positions, bool sine)
    : TensorContent(type, positions, rotary.InverseFrequencies.Length)
{
    private const int ChunkPositions = 1024;

    public override void WriteTo(TensorSink sink)
    {
        var width = rotary.InverseFrequencies.Length;
        var buffer = new float[ChunkPositions * width];
        for (var first = 0; first < positions; first += ChunkPositions)
        {
            var chunk = buffer.AsSpan(0, Math.Min(ChunkPositions, positions - first) * width);
            rotary.Fill(first, chunk, sine);
            sink.Write(chunk, ElementType);
        }
    }
}

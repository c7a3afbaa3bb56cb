using Granary.Engine.Onnx.Import.Safetensors;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>One matrix [rows, columns], stacked from tensors with equal columns: query, key and value projections for example.</summary>
/// <remarks>In a checkpoint's orientation: rows are outputs, columns inputs. Reading is safe from several threads.</remarks>
internal sealed class MatrixSource
{
    private readonly CheckpointTensor[] _parts;

    public MatrixSource(params CheckpointTensor[] parts)
    {
        _parts = parts;
        Columns = parts[0].Shape[1];
        Rows = parts.Sum(part => part.Shape[0]);
    }

    public long Rows { get; }

    public long Columns { get; }

    /// <summary>Where it comes from, for messages.</summary>
    public string Name => string.Join(" + ", _parts.Select(part => $"{part.File}: {part.Name}"));

    /// <summary>Reads a row from a column on.</summary>
    public void Read(long row, long column, Span<float> destination)
    {
        foreach (var part in _parts)
        {
            if (row < part.Shape[0])
            {
                part.Read(row * Columns + column, destination);
                return;
            }

            row -= part.Shape[0];
        }

        throw new ArgumentOutOfRangeException(nameof(row));
    }
}

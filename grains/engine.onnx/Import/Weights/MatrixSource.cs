using Granary.Engine.Onnx.Import.Safetensors;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>Elements [first, first + count) of a tensor in row-major order: a vector, a part of one, or whole rows of a matrix.</summary>
internal sealed record TensorRange(CheckpointTensor Tensor, long First, long Count);

/// <summary>Rows [first row, + rows) and columns [first column, + columns) of a matrix.</summary>
internal sealed record MatrixRange(CheckpointTensor Tensor, long FirstRow, long Rows, long FirstColumn, long Columns);

/// <summary>One matrix [rows, columns], stacked from ranges with equal columns: query, key and value projections for example.</summary>
/// <remarks>In a checkpoint's orientation: rows are outputs, columns inputs. Reading is safe from several threads.</remarks>
internal sealed class MatrixSource
{
    private readonly MatrixRange[] _parts;

    public MatrixSource(params MatrixRange[] parts)
    {
        _parts = parts;
        Columns = parts[0].Columns;
        Rows = parts.Sum(part => part.Rows);
    }

    public long Rows { get; }

    public long Columns { get; }

    /// <summary>Where a row comes from, for messages.</summary>
    public string Describe(long row)
    {
        var (part, place) = Find(row);
        return $"{part.Tensor.File}: {part.Tensor.Name}: row {part.FirstRow + place}";
    }

    /// <summary>Reads a row from a column on.</summary>
    public void Read(long row, long column, Span<float> destination)
    {
        var (part, place) = Find(row);
        part.Tensor.Read((part.FirstRow + place) * part.Tensor.Shape[1] + part.FirstColumn + column, destination);
    }

    private (MatrixRange Part, long Row) Find(long row)
    {
        foreach (var part in _parts)
        {
            if (row < part.Rows) return (part, row);
            row -= part.Rows;
        }

        throw new ArgumentOutOfRangeException(nameof(row));
    }
}

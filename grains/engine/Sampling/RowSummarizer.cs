using Granary.Engine.Execution;

namespace Granary.Engine.Sampling;

/// <summary>Makes summaries of rows of logits, or of one rank's columns of them. For one thread; its fields are scratch memory.</summary>
/// <param name="maxColumns">Most columns of a slice.</param>
public sealed class RowSummarizer(int maxColumns)
{
    private readonly float[] _blockMaxima = new float[RowMath.BlocksOf(maxColumns)];
    private readonly float[] _laneMaxima = new float[RowMath.BlocksOf(maxColumns) * RowMath.LaneMaxima];
    private readonly int[] _columns = new int[maxColumns];
    private readonly float[] _logits = new float[maxColumns];
    private readonly int[] _places = new int[Math.Max(maxColumns, RowMath.BlocksOf(maxColumns) * RowMath.LaneMaxima)];

    /// <summary>Summarizes a slice of a row.</summary>
    /// <param name="slice">At most as many columns as were said.</param>
    /// <param name="firstColumn">The column of the row that the slice begins with.</param>
    /// <param name="temperature">Of the weights, or <see cref="RowWants.Highest"/>.</param>
    /// <param name="summary">Is overwritten.</param>
    /// <exception cref="ArgumentOutOfRangeException">The slice is empty or too long, or the temperature says that no summary is wanted.</exception>
    public void Summarize(ReadOnlySpan<float> slice, int firstColumn, float temperature, RowSummary summary)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(temperature);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(slice.Length, maxColumns);
        var best = RowMath.ArgMax(slice, out var max, _blockMaxima, _laneMaxima);
        if (temperature == RowWants.Highest || best < 0)
        {
            summary.Reset(firstColumn, slice.Length, temperature, candidateCount: 0);
            summary.BlockMaxima.Clear();
            summary.BlockSums.Clear();
        }
        else
        {
            var count = RowMath.AtLeast(slice, LeastCandidate(slice.Length), _columns);
            summary.Reset(firstColumn, slice.Length, temperature, Math.Min(count, RowSummary.MaxCandidates));
            TakeCandidates(slice, firstColumn, count, summary);
            _blockMaxima.AsSpan(0, summary.BlockCount).CopyTo(summary.BlockMaxima);
            RowMath.BlockSums(slice, summary.BlockMaxima, 1 / temperature, summary.BlockSums);
        }

        summary.Best = max;
        summary.BestColumn = best < 0 ? -1 : firstColumn + best;
    }

    /// <summary>A logit that enough columns reach, and few more: the lanes' maxima are that many different columns.</summary>
    private float LeastCandidate(int columns)
    {
        var lanes = _laneMaxima.AsSpan(0, RowMath.BlocksOf(columns) * RowMath.LaneMaxima);
        if (lanes.Length < RowSummary.MaxCandidates) return float.MinValue;

        var places = _places.AsSpan(0, lanes.Length);
        Selection.Number(places);
        Selection.Best(places, lanes, RowSummary.MaxCandidates);
        return Math.Max(lanes[Selection.Worst(places[..RowSummary.MaxCandidates], lanes)], float.MinValue);
    }

    private void TakeCandidates(ReadOnlySpan<float> slice, int firstColumn, int count, RowSummary summary)
    {
        for (var i = 0; i < count; i++)
        {
            _logits[i] = slice[_columns[i]];
            _columns[i] += firstColumn;
        }

        summary.Keep(_columns.AsSpan(0, count), _logits.AsSpan(0, count), _places);
    }
}

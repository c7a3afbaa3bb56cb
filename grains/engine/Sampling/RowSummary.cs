using Granary.Engine.Execution;

namespace Granary.Engine.Sampling;

/// <summary>What sampling needs of a row of logits, or of a rank's columns of it, instead of the row: some kilobytes whatever the vocabulary.</summary>
/// <remarks>
/// Weights are summed per block of <see cref="BlockColumns"/> columns, each relative to its block's own maximum. So a sum does not depend
/// on what else is in the row, and slices that begin where blocks do join to exactly the summary of the whole row. Of a slice that begins
/// elsewhere there are no sums. At <see cref="RowWants.Highest"/> there is the best column only. Filled again for each row.
/// </remarks>
public sealed class RowSummary
{
    /// <summary>Columns of a block; the last of a row may have fewer.</summary>
    public const int BlockColumns = RowMath.BlockColumns;

    /// <summary>Most candidates of a summary: more than the usual top-k, and than most top-p sets hold.</summary>
    public const int MaxCandidates = 128;

    private readonly int[] _columns = new int[MaxCandidates];
    private readonly float[] _logits = new float[MaxCandidates];
    private float[] _blockMaxima = [];
    private double[] _blockSums = [];

    /// <summary>First column of the row that it covers.</summary>
    public int FirstColumn { get; private set; }

    /// <summary>How many columns it covers.</summary>
    public int ColumnCount { get; private set; }

    /// <summary>Of the weights; <see cref="RowWants.Highest"/> where there are none.</summary>
    public float Temperature { get; private set; }

    /// <summary>The highest logit.</summary>
    public float Best { get; set; }

    /// <summary>The column that has it, the lowest among equals; -1 where a logit is not a number.</summary>
    public int BestColumn { get; set; }

    /// <summary>0 where sums were not asked for, or the slice begins inside a block.</summary>
    public int BlockCount { get; private set; }

    /// <summary>[<see cref="BlockCount"/>]: the highest logit of each block.</summary>
    public Span<float> BlockMaxima => _blockMaxima.AsSpan(0, BlockCount);

    /// <summary>[<see cref="BlockCount"/>]: the sum of exp((logit - block's maximum) / temperature); 0 where the maximum is -∞.</summary>
    public Span<double> BlockSums => _blockSums.AsSpan(0, BlockCount);

    /// <summary>All columns with logits above -∞, or the best <see cref="MaxCandidates"/> of them; among equals the lower column is better.</summary>
    public int CandidateCount { get; private set; }

    /// <summary>[<see cref="CandidateCount"/>]: columns of the row, ascending.</summary>
    public Span<int> CandidateColumns => _columns.AsSpan(0, CandidateCount);

    /// <summary>[<see cref="CandidateCount"/>]: their logits.</summary>
    public Span<float> CandidateLogits => _logits.AsSpan(0, CandidateCount);

    /// <summary>Makes room for the summary of a slice; what it tells is whoever fills it's to write.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A size is below its bound, or there are more candidates than columns or <see cref="MaxCandidates"/>.</exception>
    public void Reset(int firstColumn, int columnCount, float temperature, int candidateCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstColumn);
        ArgumentOutOfRangeException.ThrowIfLessThan(columnCount, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(candidateCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(candidateCount, Math.Min(columnCount, MaxCandidates));
        (FirstColumn, ColumnCount, Temperature, CandidateCount) = (firstColumn, columnCount, temperature, candidateCount);
        BlockCount = BlocksOf(firstColumn, columnCount, temperature);
        if (_blockSums.Length >= BlockCount) return;
        _blockMaxima = new float[BlockCount];
        _blockSums = new double[BlockCount];
    }

    /// <summary>How many sums the summary of a slice has.</summary>
    public static int BlocksOf(int firstColumn, int columnCount, float temperature) =>
        temperature > 0 && firstColumn % BlockColumns == 0 ? (columnCount + BlockColumns - 1) / BlockColumns : 0;
}

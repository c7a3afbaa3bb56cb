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
    private float[] _merged = []; // Scratch memory of Merge.
    private int[] _mergedColumns = [];
    private int[] _places = [];

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
        temperature > 0 && firstColumn % BlockColumns == 0 ? RowMath.BlocksOf(columnCount) : 0;

    /// <summary>Becomes the summary of all slices together. None of them is this one.</summary>
    /// <param name="slices">In the order of their columns, at one temperature; each begins where the one before ends.</param>
    /// <exception cref="ArgumentException">They do not fit together.</exception>
    public void Merge(ReadOnlySpan<RowSummary> slices)
    {
        var (columns, candidates, hasBlocks) = (0, 0, true);
        foreach (var slice in slices)
        {
            if (slice.FirstColumn != slices[0].FirstColumn + columns || slice.Temperature != slices[0].Temperature)
            {
                throw new ArgumentException(
                    $"A slice begins at column {slice.FirstColumn} and is at temperature {slice.Temperature}; it should be column {slices[0].FirstColumn + columns}, temperature {slices[0].Temperature}.",
                    nameof(slices));
            }

            columns += slice.ColumnCount;
            candidates += slice.CandidateCount;
            hasBlocks &= slice.BlockCount > 0;
        }

        Reset(slices[0].FirstColumn, columns, slices[0].Temperature, Math.Min(candidates, MaxCandidates));
        if (!hasBlocks) BlockCount = 0;
        MergeBestAndBlocks(slices);
        MergeCandidates(slices, candidates);
    }

    private void MergeBestAndBlocks(ReadOnlySpan<RowSummary> slices)
    {
        (BestColumn, Best) = (slices[0].BestColumn, slices[0].Best);
        var block = 0;
        foreach (var slice in slices)
        {
            if (slice.BestColumn < 0 || BestColumn < 0) BestColumn = -1;
            else if (slice.Best > Best) (BestColumn, Best) = (slice.BestColumn, slice.Best);
            if (BlockCount == 0) continue;
            slice.BlockMaxima.CopyTo(BlockMaxima[block..]);
            slice.BlockSums.CopyTo(BlockSums[block..]);
            block += slice.BlockCount;
        }
    }

    private void MergeCandidates(ReadOnlySpan<RowSummary> slices, int count)
    {
        if (_merged.Length < count) (_merged, _mergedColumns, _places) = (new float[count], new int[count], new int[count]);
        var next = 0;
        foreach (var slice in slices)
        {
            slice.CandidateLogits.CopyTo(_merged.AsSpan(next));
            slice.CandidateColumns.CopyTo(_mergedColumns.AsSpan(next));
            next += slice.CandidateCount;
        }

        Keep(_mergedColumns.AsSpan(0, count), _merged.AsSpan(0, count), _places);
    }

    /// <summary>Takes the best of some candidates, as many as there is room for.</summary>
    /// <param name="columns">Ascending.</param>
    /// <param name="places">Room for as many numbers.</param>
    internal void Keep(ReadOnlySpan<int> columns, ReadOnlySpan<float> logits, Span<int> places)
    {
        places = places[..columns.Length];
        Selection.Number(places);
        if (columns.Length > CandidateCount)
        {
            Selection.Best(places, logits, CandidateCount);
            places = places[..CandidateCount];
            places.Sort();
        }

        for (var i = 0; i < places.Length; i++) (_columns[i], _logits[i]) = (columns[places[i]], logits[places[i]]);
    }
}

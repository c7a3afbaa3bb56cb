using System.Runtime.CompilerServices;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Second half of attention: softmax(query · keys) · values for the rows of a work item.</summary>
/// <remarks>
/// A row is one query head of one token. Rows are computed four together where there are four, to read keys and values once for
/// all; but each row's own arithmetic is one sequence of operations that does not know its neighbours: a score is a fused chain over
/// the head's elements in order, the sum of exponentials adds tiles in order of position and then the lanes in a fixed tree, an output
/// element is a fused chain over the tokens in order. Hence a row has the same bits alone, in any batch, in any chunk and on any
/// number of threads.
/// </remarks>
internal static unsafe class RowAttention<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    private const int Width = AttentionStep.TileTokens;
    private const int MaxRows = 4;

    public static void Run(AttentionStep* step, int unitIndex)
    {
        var unit = step->Units[unitIndex];
        var group = step->Heads / step->KvHeads;
        var rows = (unit.EndToken - unit.FirstToken) * group;
        for (var row = 0; row < rows;)
        {
            var count = rows - row >= MaxRows ? MaxRows : 1;
            RunRows(step, unit, row, count);
            row += count;
        }
    }

    [SkipLocalsInit]
    private static void RunRows(AttentionStep* step, AttentionUnit unit, int firstRow, int rows)
    {
        var d = step->HeadSize;
        var group = step->Heads / step->KvHeads;
        var first = stackalloc int[MaxRows];
        var end = stackalloc int[MaxRows];
        var offsets = stackalloc nint[MaxRows];
        var (unionFirst, unionEnd, commonFirst, commonEnd) = (int.MaxValue, 0, 0, int.MaxValue);
        for (var r = 0; r < rows; r++)
        {
            var token = unit.FirstToken + ((firstRow + r) / group);
            var head = (unit.KvHead * group) + ((firstRow + r) % group);
            offsets[r] = (((nint)token * step->Heads) + head) * d;
            end[r] = step->Places[token].Position + 1;
            first[r] = step->Window > 0 ? Math.Max(0, end[r] - step->Window) : 0;
            (unionFirst, unionEnd) = (Math.Min(unionFirst, first[r]), Math.Max(unionEnd, end[r]));
            (commonFirst, commonEnd) = (Math.Max(commonFirst, first[r]), Math.Min(commonEnd, end[r]));
        }

        var firstTile = unionFirst / Width;
        var tiles = ((unionEnd + Width - 1) / Width) - firstTile;
        var stride = (nint)tiles * Width;
        var sumWidth = (d + Width - 1) / Width * Width;
        var scores = AttentionScratch.Current.Scores.Get<float>(rows * (stride + sumWidth));
        var sums = scores + (rows * stride);

        if (rows == MaxRows) AttentionTiles<TLanes>.ScoreFour(step, unit, offsets, firstTile, tiles, scores, stride);
        else AttentionTiles<TLanes>.ScoreOne(step, unit, offsets[0], firstTile, tiles, scores);

        var inverse = stackalloc float[MaxRows];
        for (var r = 0; r < rows; r++)
        {
            // From here, element p - firstTile · 16 of a row belongs to position p.
            inverse[r] = 1f / Exponentiate(scores + (r * stride), first[r] - (firstTile * Width), end[r] - (firstTile * Width), step->Softcap);
        }

        new Span<float>(sums, rows * sumWidth).Clear();
        var probabilities = scores - ((nint)firstTile * Width);
        if (rows == MaxRows && commonFirst < commonEnd)
        {
            for (var r = 0; r < rows; r++) AttentionTiles<TLanes>.SumOne(step, unit, probabilities + (r * stride), first[r], commonFirst, sums + (r * sumWidth));
            AttentionTiles<TLanes>.SumFour(step, unit, probabilities, stride, commonFirst, commonEnd, sums, sumWidth);
            for (var r = 0; r < rows; r++) AttentionTiles<TLanes>.SumOne(step, unit, probabilities + (r * stride), commonEnd, end[r], sums + (r * sumWidth));
        }
        else
        {
            for (var r = 0; r < rows; r++) AttentionTiles<TLanes>.SumOne(step, unit, probabilities + (r * stride), first[r], end[r], sums + (r * sumWidth));
        }

        for (var r = 0; r < rows; r++) WriteRow(sums + (r * sumWidth), step->Output + offsets[r], d, inverse[r]);
    }

    /// <summary>Scores → exponentials of their distance to the row's largest, in place; elements [first, end) count.</summary>
    /// <returns>The exponentials' sum.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Exponentiate(float* scores, int first, int end, float softcap)
    {
        int firstTile = first / Width, endTile = (end + Width - 1) / Width;
        var largest = TLanes.Create(float.NegativeInfinity);
        for (var tile = firstTile; tile < endTile; tile++)
        {
            var x = TLanes.Load(scores + (tile * Width));
            if (softcap > 0) x = TLanes.Multiply(Lanes.Tanh(TLanes.Multiply(x, TLanes.Create(1f / softcap))), TLanes.Create(softcap));
            if (tile == firstTile || tile == endTile - 1) x = TLanes.Keep(x, first - (tile * Width), end - (tile * Width), float.NegativeInfinity);
            TLanes.Store(x, scores + (tile * Width));
            largest = TLanes.Max(largest, x);
        }

        var subtrahend = TLanes.Create(TLanes.Largest(largest));
        var sum = TLanes.Create(0f);
        for (var tile = firstTile; tile < endTile; tile++)
        {
            var e = Lanes.Exp(TLanes.Subtract(TLanes.Load(scores + (tile * Width)), subtrahend));
            TLanes.Store(e, scores + (tile * Width));
            sum = TLanes.Add(sum, e);
        }

        return TLanes.Sum(sum);
    }

    /// <summary>Writes a row's d elements from its sums, whose last 16 lanes hold the last 16 elements where 16 does not divide d.</summary>
    private static void WriteRow(float* sums, float* output, int d, float factor)
    {
        if (d < Width)
        {
            for (var j = 0; j < d; j++) output[j] = sums[j] * factor;
            return;
        }

        var i = 0;
        for (; i <= d - Width; i += Width) TLanes.Store(TLanes.Multiply(TLanes.Load(sums + i), TLanes.Create(factor)), output + i);
        if (i < d) TLanes.Store(TLanes.Multiply(TLanes.Load(sums + i), TLanes.Create(factor)), output + d - Width);
    }
}

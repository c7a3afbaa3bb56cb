using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Granary.Engine.Sampling;

/// <summary>Passes over a row of logits, vectorised.</summary>
/// <remarks>
/// Lanes and order of summation are fixed and nothing is fused, so that results do not depend on the machine's vector width.
/// </remarks>
internal static class RowMath
{
    /// <summary>Columns whose weights are summed apart.</summary>
    public const int BlockColumns = 1024;

    private const int Lanes = 8;

    /// <summary>Columns are spread over so many maxima of a block, for <see cref="ArgMax(ReadOnlySpan{float}, out float, Span{float}, Span{float})"/>.</summary>
    public const int LaneMaxima = 2 * Lanes;

    public static int BlocksOf(int columns) => (columns + BlockColumns - 1) / BlockColumns;

    /// <summary>The highest value, and the highest of each block.</summary>
    /// <param name="blockMaxima">[blocks].</param>
    /// <returns>The lowest column that has it; -1 when the row has a NaN, and nothing else is told then.</returns>
    public static int ArgMax(ReadOnlySpan<float> row, out float max, Span<float> blockMaxima)
    {
        Span<float> lanes = stackalloc float[LaneMaxima];
        return ArgMax(row, out max, blockMaxima, lanes, everyBlocksLanes: false);
    }

    /// <param name="laneMaxima">[blocks * <see cref="LaneMaxima"/>]: the highest of each sixteenth of a block's columns; -∞ for one without columns.</param>
    public static int ArgMax(ReadOnlySpan<float> row, out float max, Span<float> blockMaxima, Span<float> laneMaxima) =>
        ArgMax(row, out max, blockMaxima, laneMaxima, everyBlocksLanes: true);

    /// <summary>The sum of exp((x - block's maximum) * scale) over each block; 0 where the maximum is -∞.</summary>
    public static void BlockSums(ReadOnlySpan<float> row, ReadOnlySpan<float> blockMaxima, float scale, Span<double> sums)
    {
        Span<float> weights = stackalloc float[BlockColumns];
        for (var b = 0; b < blockMaxima.Length; b++)
        {
            var start = b * BlockColumns;
            var block = row.Slice(start, Math.Min(BlockColumns, row.Length - start));
            sums[b] = float.IsNegativeInfinity(blockMaxima[b]) ? 0 : Weights(block, blockMaxima[b], scale, weights);
        }
    }

    /// <summary>What a block's sum has to be multiplied with to count beside others.</summary>
    public static double BlockFactor(float blockMax, float max, float scale) => Math.Exp(((double)blockMax - max) * scale);

    /// <summary>The sum of exp((x - max) * scale) over all blocks.</summary>
    public static double Total(ReadOnlySpan<float> blockMaxima, ReadOnlySpan<double> sums, float max, float scale)
    {
        double total = 0;
        for (var b = 0; b < sums.Length; b++) total += sums[b] * BlockFactor(blockMaxima[b], max, scale);
        return total;
    }

    /// <summary>Writes the columns with values of at least <paramref name="least"/>, in ascending order.</summary>
    /// <returns>How many; writing stops when <paramref name="columns"/> is full.</returns>
    public static int AtLeast(ReadOnlySpan<float> row, float least, Span<int> columns)
    {
        var count = 0;
        var bound = Vector256.Create(least);
        var i = 0;
        for (; i <= row.Length - Lanes; i += Lanes)
        {
            var bits = Vector256.GreaterThanOrEqual(Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(row), (nuint)i), bound)
                .ExtractMostSignificantBits();
            for (; bits != 0; bits &= bits - 1)
            {
                if (count == columns.Length) return count;
                columns[count++] = i + BitOperations.TrailingZeroCount(bits);
            }
        }

        for (; i < row.Length && count < columns.Length; i++)
        {
            if (row[i] >= least) columns[count++] = i;
        }

        return count;
    }

    private static int ArgMax(ReadOnlySpan<float> row, out float max, Span<float> blockMaxima, Span<float> laneMaxima, bool everyBlocksLanes)
    {
        max = float.NegativeInfinity;
        var best = 0;
        for (var start = 0; start < row.Length; start += BlockColumns)
        {
            var b = start / BlockColumns;
            var block = row.Slice(start, Math.Min(BlockColumns, row.Length - start));
            var blockMax = Max(block, laneMaxima.Slice(everyBlocksLanes ? b * LaneMaxima : 0, LaneMaxima), out var hasNaN);
            if (hasNaN) return -1;
            blockMaxima[b] = blockMax;
            if (blockMax > max) (max, best) = (blockMax, start);
        }

        return best + row[best..].IndexOf(max);
    }

    private static float Max(ReadOnlySpan<float> block, Span<float> laneMaxima, out bool hasNaN)
    {
        ref var first = ref MemoryMarshal.GetReference(block);
        var max0 = Vector256.Create(float.NegativeInfinity);
        var max1 = max0;
        var ordered = Vector256<float>.AllBitsSet;
        var i = 0;
        for (; i <= block.Length - 2 * Lanes; i += 2 * Lanes)
        {
            var v0 = Vector256.LoadUnsafe(ref first, (nuint)i);
            var v1 = Vector256.LoadUnsafe(ref first, (nuint)(i + Lanes));
            max0 = Vector256.MaxNative(max0, v0);
            max1 = Vector256.MaxNative(max1, v1);
            ordered &= Vector256.Equals(v0, v0) & Vector256.Equals(v1, v1);
        }

        hasNaN = ordered.ExtractMostSignificantBits() != 0xFF;
        max0.CopyTo(laneMaxima);
        max1.CopyTo(laneMaxima[Lanes..]);
        for (var lane = 0; i < block.Length; i++, lane++)
        {
            hasNaN |= float.IsNaN(block[i]);
            laneMaxima[lane] = Math.Max(laneMaxima[lane], block[i]);
        }

        var max = float.NegativeInfinity;
        foreach (var laneMax in laneMaxima) max = Math.Max(max, laneMax);
        return max;
    }

    /// <summary>exp((x - max) * scale) of every column: of each the same bits, whatever columns it is among.</summary>
    /// <returns>Their sum.</returns>
    public static double Weights(ReadOnlySpan<float> row, float max, float scale, Span<float> weights)
    {
        ref var source = ref MemoryMarshal.GetReference(row);
        ref var target = ref MemoryMarshal.GetReference(weights);
        var maxima = Vector256.Create(max);
        var scales = Vector256.Create(scale);
        var low = Vector256<double>.Zero;
        var high = Vector256<double>.Zero;
        var i = 0;
        for (; i <= row.Length - Lanes; i += Lanes)
        {
            var weight = Exp((Vector256.LoadUnsafe(ref source, (nuint)i) - maxima) * scales);
            weight.StoreUnsafe(ref target, (nuint)i);
            var (lower, upper) = Vector256.Widen(weight);
            low += lower;
            high += upper;
        }

        var sum = Vector256.Sum(low + high);
        if (i == row.Length) return sum;

        Span<float> rest = stackalloc float[Lanes];
        rest.Fill(float.NegativeInfinity);
        row[i..].CopyTo(rest);
        var last = Exp((Vector256.Create<float>(rest) - maxima) * scales);
        for (var lane = 0; i < row.Length; i++, lane++)
        {
            weights[i] = last[lane];
            sum += last[lane];
        }

        return sum;
    }

    /// <summary>e^x for x up to 0, about 1e-7 relative; 0 below -87.</summary>
    /// <remarks>x = n ln 2 + r, a polynomial of degree 6 in r (coefficients of Cephes' expf), scaled by 2^n.</remarks>
    private static Vector256<float> Exp(Vector256<float> x)
    {
        var inRange = Vector256.GreaterThanOrEqual(x, Vector256.Create(-87f));
        x = Vector256.ConditionalSelect(inRange, x, Vector256<float>.Zero);
        var n = Vector256.Floor(x * Vector256.Create(1.44269504f) + Vector256.Create(0.5f));
        var r = x - n * Vector256.Create(0.693359375f);
        r -= n * Vector256.Create(-2.12194440e-4f);

        var p = Vector256.Create(1.9875691500e-4f);
        p = p * r + Vector256.Create(1.3981999507e-3f);
        p = p * r + Vector256.Create(8.3334519073e-3f);
        p = p * r + Vector256.Create(4.1665795894e-2f);
        p = p * r + Vector256.Create(1.6666665459e-1f);
        p = p * r + Vector256.Create(5.0000001201e-1f);
        var y = p * r * r + r + Vector256<float>.One;

        var power = (Vector256.ConvertToInt32Native(n) + Vector256.Create(127)) << 23;
        return Vector256.ConditionalSelect(inRange, y * power.AsSingle(), Vector256<float>.Zero);
    }
}

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

    /// <summary>The highest value and the lowest column that has it.</summary>
    /// <returns>-1 when the row has a NaN.</returns>
    public static int ArgMax(ReadOnlySpan<float> row, out float max)
    {
        max = float.NegativeInfinity;
        var best = 0;
        for (var start = 0; start < row.Length; start += BlockColumns)
        {
            var block = row.Slice(start, Math.Min(BlockColumns, row.Length - start));
            var blockMax = Max(block, out var hasNaN);
            if (hasNaN) return -1;
            if (blockMax > max) (max, best) = (blockMax, start);
        }

        return best + row[best..].IndexOf(max);
    }

    /// <summary>exp((x - max) * scale) of every column, and their sums per block of <see cref="BlockColumns"/>.</summary>
    /// <returns>The sum of all.</returns>
    public static double Weights(ReadOnlySpan<float> row, float max, float scale, Span<float> weights, Span<double> blockSums)
    {
        double total = 0;
        for (var start = 0; start < row.Length; start += BlockColumns)
        {
            var length = Math.Min(BlockColumns, row.Length - start);
            var sum = BlockWeights(row.Slice(start, length), max, scale, weights.Slice(start, length));
            blockSums[start / BlockColumns] = sum;
            total += sum;
        }

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

    private static float Max(ReadOnlySpan<float> block, out bool hasNaN)
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
        max0 = Vector256.MaxNative(max0, max1);
        var max = float.NegativeInfinity;
        for (var lane = 0; lane < Lanes; lane++) max = Math.Max(max, max0[lane]);
        for (; i < block.Length; i++)
        {
            hasNaN |= float.IsNaN(block[i]);
            max = Math.Max(max, block[i]);
        }

        return max;
    }

    private static double BlockWeights(ReadOnlySpan<float> row, float max, float scale, Span<float> weights)
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

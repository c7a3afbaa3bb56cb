using System.Runtime.Intrinsics;

namespace Granary.Engine.Onnx.Import.Weights;

/// <summary>Quantises 32 weights to integers with one scale: weight ≈ (integer − zero point) · scale.</summary>
internal static class BlockQuantizer
{
    public const int BlockSize = 32;
    public const int Int8Bytes = BlockSize;
    public const int Int4Bytes = BlockSize / 2;
    private const int Int8ZeroPoint = 128;
    private const int Int4ZeroPoint = 8;

    /// <summary>Steps to either side of the plain scale that are tried for 4 bits, a tenth of a level each.</summary>
    private const int Int4SearchSteps = 9;

    /// <summary>Round to nearest on a scale that puts the largest magnitude at 127.</summary>
    /// <param name="weights">[32], finite.</param>
    /// <param name="bytes">[32], zero point 128.</param>
    /// <returns>The scale; error at most half of it.</returns>
    public static float ToInt8(ReadOnlySpan<float> weights, Span<byte> bytes)
    {
        var scale = Math.Abs(Extreme(weights)) / 127;
        var inverse = scale == 0 ? 0 : 1 / scale;
        for (var i = 0; i < BlockSize; i++) bytes[i] = (byte)Math.Clamp((int)MathF.Round(weights[i] * inverse) + Int8ZeroPoint, 1, 255);
        return scale;
    }

    /// <summary>The scale among a few candidates that leaves the least squared error, then the best scale for the integers it gives.</summary>
    /// <remarks>
    /// The largest magnitude goes to level −8, the side with one level more, so the scale may be negative. With integers q the
    /// best scale is Σwq / Σq² and leaves Σw² − (Σwq)² / Σq²: the candidate with the largest (Σwq)² / Σq² wins.
    /// </remarks>
    /// <param name="weights">[32], finite.</param>
    /// <param name="bytes">[16], two a byte, the even one in the low half, zero point 8.</param>
    /// <returns>The scale.</returns>
    public static float ToInt4(ReadOnlySpan<float> weights, Span<byte> bytes)
    {
        var extreme = Extreme(weights);
        // A scale below the smallest normal number has no inverse; such weights are nothing.
        if (Math.Abs(extreme) < 1e-35f)
        {
            bytes[..Int4Bytes].Fill(Int4ZeroPoint << 4 | Int4ZeroPoint);
            return 0;
        }

        var w0 = Vector256.Create(weights);
        var w1 = Vector256.Create(weights[8..]);
        var w2 = Vector256.Create(weights[16..]);
        var w3 = Vector256.Create(weights[24..]);
        var (bestGain, bestInverse, bestScale) = (-1f, 0f, 0f);
        for (var step = -Int4SearchSteps; step <= Int4SearchSteps; step++)
        {
            var inverse = -(Int4ZeroPoint + 0.1f * step) / extreme;
            var (q0, q1, q2, q3) = (Levels(w0, inverse), Levels(w1, inverse), Levels(w2, inverse), Levels(w3, inverse));
            var products = Vector256.Sum(w0 * q0 + w1 * q1 + (w2 * q2 + w3 * q3));
            var squares = Vector256.Sum(q0 * q0 + q1 * q1 + (q2 * q2 + q3 * q3));
            var gain = products * (products / squares);
            if (gain > bestGain) (bestGain, bestInverse, bestScale) = (gain, inverse, products / squares);
        }

        for (var i = 0; i < Int4Bytes; i++) bytes[i] = (byte)(Level(weights[2 * i], bestInverse) | Level(weights[2 * i + 1], bestInverse) << 4);
        return bestScale;
    }

    private static Vector256<float> Levels(Vector256<float> weights, float inverse) =>
        Vector256.Clamp(Vector256.Round(weights * inverse), Vector256.Create(-8f), Vector256.Create(7f));

    private static int Level(float weight, float inverse) => (int)Math.Clamp(MathF.Round(weight * inverse), -8f, 7f) + Int4ZeroPoint;

    /// <summary>The weight of largest magnitude, sign kept.</summary>
    private static float Extreme(ReadOnlySpan<float> weights)
    {
        var extreme = 0f;
        for (var i = 0; i < BlockSize; i++)
        {
            if (Math.Abs(weights[i]) > Math.Abs(extreme)) extreme = weights[i];
        }

        return extreme;
    }
}

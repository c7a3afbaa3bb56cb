using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Granary.Engine.Onnx.Import.Safetensors;

/// <summary>Widens F16, BF16 and F32 bytes to float32, exactly, and rounds float32 to 16 bits.</summary>
internal static class FloatConversion
{
    /// <summary>Rounds to the nearest float16 or bfloat16, ties to even.</summary>
    /// <exception cref="OverflowException">A finite value rounds to infinity.</exception>
    public static void FromSingle(ReadOnlySpan<float> source, Span<ushort> destination, bool brain)
    {
        for (var i = 0; i < source.Length; i++)
        {
            var value = source[i];
            destination[i] = brain ? ToBFloat16(value) : BitConverter.HalfToUInt16Bits((Half)value);
            var infinite = (destination[i] & 0x7fff) == (brain ? 0x7f80 : 0x7c00);
            if (infinite && float.IsFinite(value)) throw new OverflowException($"{value} is out of the range of {(brain ? "bfloat16" : "float16")}.");
        }
    }

    /// <param name="type">One of the weight types of <see cref="SafetensorsTypes"/>.</param>
    /// <param name="source">Little endian elements, as many as <paramref name="destination"/> takes; need not be aligned.</param>
    public static void ToSingle(string type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (type)
        {
            case SafetensorsTypes.F32:
                source.CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case SafetensorsTypes.BF16:
                FromBFloat16(MemoryMarshal.Cast<byte, ushort>(source), destination);
                break;
            case SafetensorsTypes.F16:
                FromHalf(MemoryMarshal.Cast<byte, ushort>(source), destination);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "Not a weight type.");
        }
    }

    private static void FromBFloat16(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        var i = 0;
        for (; i + Vector256<ushort>.Count <= source.Length; i += Vector256<ushort>.Count)
        {
            var (low, high) = Vector256.Widen(Vector256.Create(source[i..]));
            (low << 16).AsSingle().CopyTo(destination[i..]);
            (high << 16).AsSingle().CopyTo(destination[(i + Vector256<float>.Count)..]);
        }

        for (; i < source.Length; i++) destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    private static void FromHalf(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        var i = 0;
        for (; i + Vector256<ushort>.Count <= source.Length; i += Vector256<ushort>.Count)
        {
            var (low, high) = Vector256.Widen(Vector256.Create(source[i..]));
            Widen(low).CopyTo(destination[i..]);
            Widen(high).CopyTo(destination[(i + Vector256<float>.Count)..]);
        }

        for (; i < source.Length; i++) destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
    }

    /// <summary>Moves exponent and mantissa into place and rebases the exponent; subnormals by a subtraction that normalises them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Widen(Vector256<uint> half)
    {
        const uint ExponentMask = 0x7c00u << 13;
        const uint Rebase = (127 - 15) << 23;
        const uint RebaseToInfinity = (128 - 16) << 23;
        const uint SmallestNormalBits = 113u << 23;

        var magnitude = (half & Vector256.Create(0x7fffu)) << 13;
        var exponent = magnitude & Vector256.Create(ExponentMask);
        var normal = magnitude + Vector256.Create(Rebase);
        var special = normal + Vector256.Create(RebaseToInfinity);
        var subnormal = ((normal + Vector256.Create(1u << 23)).AsSingle() - Vector256.Create(SmallestNormalBits).AsSingle()).AsUInt32();
        var value = Vector256.ConditionalSelect(Vector256.Equals(exponent, Vector256.Create(ExponentMask)), special, normal);
        value = Vector256.ConditionalSelect(Vector256.Equals(exponent, Vector256<uint>.Zero), subnormal, value);
        return (value | (half & Vector256.Create(0x8000u)) << 16).AsSingle();
    }

    private static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return (ushort)(bits >> 16 | 0x40); // Quiet, so that dropping bits makes no infinity of it.
        return (ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

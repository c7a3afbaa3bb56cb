using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Granary.Sharding.Links;

/// <summary>Writes rows of activations in a <see cref="WireFormat"/> and reads them back.</summary>
/// <remarks>
/// A row becomes the same bytes whatever other rows stand beside it. Who sends rows and goes on with them too takes what <see cref="Decode"/> makes of
/// its own bytes, so that all go on with the same values. A value that is no number stays none; in <see cref="WireFormat.Int8"/> its block does.
/// </remarks>
public static class ActivationCodec
{
    /// <summary>Columns that share a scale.</summary>
    public const int BlockColumns = 32;

    /// <summary>Below this a block's magnitude has no finite inverse scale; it is written as zeros.</summary>
    private const float LeastMagnitude = 1e-30f;

    private const float Int8Max = 127;

    /// <returns>Bytes that rows of so many columns take.</returns>
    public static int Bytes(WireFormat format, int rows, int columns) => checked(format switch
    {
        WireFormat.Float32 => rows * columns * sizeof(float),
        WireFormat.Float16 => rows * columns * sizeof(ushort),
        WireFormat.Int8 => rows * (columns + (Blocks(columns) * sizeof(float))),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "No wire format."),
    });

    /// <param name="values">Row-major [rows, columns].</param>
    /// <param name="destination">Of exactly <see cref="Bytes"/>.</param>
    public static void Encode(WireFormat format, ReadOnlySpan<float> values, int columns, Span<byte> destination)
    {
        Check(format, values.Length, columns, destination.Length);
        switch (format)
        {
            case WireFormat.Float32:
                MemoryMarshal.AsBytes(values).CopyTo(destination);
                break;
            case WireFormat.Float16:
                EncodeHalves(values, MemoryMarshal.Cast<byte, ushort>(destination));
                break;
            default:
                while (values.Length > 0)
                {
                    for (var column = 0; column < columns; column += BlockColumns)
                    {
                        var count = Math.Min(BlockColumns, columns - column);
                        EncodeBlock(values[..count], destination);
                        values = values[count..];
                        destination = destination[(sizeof(float) + count)..];
                    }
                }

                break;
        }
    }

    /// <param name="source">Of exactly <see cref="Bytes"/>.</param>
    /// <param name="values">Row-major [rows, columns].</param>
    public static void Decode(WireFormat format, ReadOnlySpan<byte> source, int columns, Span<float> values)
    {
        Check(format, values.Length, columns, source.Length);
        switch (format)
        {
            case WireFormat.Float32:
                source.CopyTo(MemoryMarshal.AsBytes(values));
                break;
            case WireFormat.Float16:
                DecodeHalves(MemoryMarshal.Cast<byte, ushort>(source), values);
                break;
            default:
                while (values.Length > 0)
                {
                    for (var column = 0; column < columns; column += BlockColumns)
                    {
                        var count = Math.Min(BlockColumns, columns - column);
                        DecodeBlock(source, values[..count]);
                        values = values[count..];
                        source = source[(sizeof(float) + count)..];
                    }
                }

                break;
        }
    }

    private static int Blocks(int columns) => (columns + BlockColumns - 1) / BlockColumns;

    private static void Check(WireFormat format, int values, int columns, int bytes)
    {
        if (columns < 1 || values % columns != 0) throw new ArgumentException($"{values} values are no rows of {columns} columns.", nameof(columns));
        if (Bytes(format, values / columns, columns) is var expected && bytes != expected)
        {
            throw new ArgumentException($"{values} values as {format} take {expected} bytes, there are {bytes}.", nameof(format));
        }
    }

    private static void EncodeBlock(ReadOnlySpan<float> values, Span<byte> block)
    {
        var magnitude = 0f;
        if (values.Length == BlockColumns)
        {
            var (a, b, c, d) = Load(values);
            var largest = Vector256.Max(Vector256.Max(Vector256.Abs(a), Vector256.Abs(b)), Vector256.Max(Vector256.Abs(c), Vector256.Abs(d)));
            for (var i = 0; i < Vector256<float>.Count; i++) magnitude = MathF.Max(magnitude, largest[i]);
            var inverse = Vector256.Create(Start(magnitude, block));
            var low = Vector256.Narrow(Round(a * inverse), Round(b * inverse));
            var high = Vector256.Narrow(Round(c * inverse), Round(d * inverse));
            Vector256.Narrow(low, high).AsByte().CopyTo(block[sizeof(float)..]);
            return;
        }

        foreach (var value in values) magnitude = MathF.Max(magnitude, MathF.Abs(value));
        var factor = Start(magnitude, block);
        for (var i = 0; i < values.Length; i++) block[sizeof(float) + i] = (byte)(sbyte)Round(Vector256.Create(values[i] * factor))[0];
    }

    private static void DecodeBlock(ReadOnlySpan<byte> block, Span<float> values)
    {
        var scale = MemoryMarshal.Read<float>(block);
        var bytes = MemoryMarshal.Cast<byte, sbyte>(block[sizeof(float)..]);
        if (values.Length == BlockColumns)
        {
            var (low, high) = Vector256.Widen(Vector256.Create((ReadOnlySpan<sbyte>)bytes));
            var (a, b) = Vector256.Widen(low);
            var (c, d) = Vector256.Widen(high);
            var factor = Vector256.Create(scale);
            (Vector256.ConvertToSingle(a) * factor).CopyTo(values);
            (Vector256.ConvertToSingle(b) * factor).CopyTo(values[8..]);
            (Vector256.ConvertToSingle(c) * factor).CopyTo(values[16..]);
            (Vector256.ConvertToSingle(d) * factor).CopyTo(values[24..]);
            return;
        }

        for (var i = 0; i < values.Length; i++) values[i] = bytes[i] * scale;
    }

    /// <summary>Writes the scale of a block.</summary>
    /// <returns>What to multiply its values by.</returns>
    private static float Start(float magnitude, Span<byte> block)
    {
        var scale = magnitude < LeastMagnitude ? 0 : magnitude / Int8Max;
        MemoryMarshal.Write(block, scale);
        return magnitude < LeastMagnitude ? 0 : Int8Max / magnitude;
    }

    private static (Vector256<float> A, Vector256<float> B, Vector256<float> C, Vector256<float> D) Load(ReadOnlySpan<float> values) =>
        (Vector256.Create(values), Vector256.Create(values[8..]), Vector256.Create(values[16..]), Vector256.Create(values[24..]));

    private static Vector256<int> Round(Vector256<float> values) => Vector256.ConvertToInt32(Vector256.Round(values));

    private static void EncodeHalves(ReadOnlySpan<float> values, Span<ushort> halves)
    {
        var i = 0;
        for (; i <= values.Length - (2 * Vector<float>.Count); i += 2 * Vector<float>.Count)
        {
            var low = ToHalf(new Vector<float>(values[i..]));
            var high = ToHalf(new Vector<float>(values[(i + Vector<float>.Count)..]));
            Vector.Narrow(low, high).CopyTo(halves[i..]);
        }

        for (; i < values.Length; i++) halves[i] = (ushort)ToHalf(new Vector<float>(values[i]))[0];
    }

    private static void DecodeHalves(ReadOnlySpan<ushort> halves, Span<float> values)
    {
        var i = 0;
        for (; i <= values.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(halves[i..]), out var low, out var high);
            ToSingle(low).CopyTo(values[i..]);
            ToSingle(high).CopyTo(values[(i + Vector<float>.Count)..]);
        }

        for (; i < values.Length; i++) values[i] = ToSingle(new Vector<uint>(halves[i]))[0];
    }

    /// <summary>Rounds to the nearest half, ties to even, in the low 16 bits of each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<uint> ToHalf(Vector<float> values)
    {
        const uint DenormalMagic = (127 - 15 + 23 - 10 + 1) << 23; // Adding it as a float moves a denormal half's bits to the bottom.
        var bits = Vector.AsVectorUInt32(values);
        var sign = bits & new Vector<uint>(0x8000_0000);
        bits ^= sign;
        var isNumber = Vector.LessThanOrEqual(bits, new Vector<uint>(0x7F80_0000));
        var finite = Vector.Min(bits, new Vector<uint>(BitConverter.SingleToUInt32Bits(65504)));
        var denormal = Vector.AsVectorUInt32(Vector.AsVectorSingle(finite) + new Vector<float>(BitConverter.UInt32BitsToSingle(DenormalMagic))) - new Vector<uint>(DenormalMagic);
        var odd = (finite >>> 13) & Vector<uint>.One;
        var normal = (finite - new Vector<uint>(((127u - 15) << 23) - 0xFFF) + odd) >>> 13;
        var half = Vector.ConditionalSelect(Vector.LessThan(finite, new Vector<uint>(113u << 23)), denormal, normal);
        return Vector.ConditionalSelect(isNumber, half, new Vector<uint>(0x7E00)) | (sign >>> 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> ToSingle(Vector<uint> halves)
    {
        var exponentMask = new Vector<uint>(0x7C00u << 13);
        var bits = (halves & new Vector<uint>(0x7FFF)) << 13;
        var exponent = bits & exponentMask;
        bits += new Vector<uint>((127u - 15) << 23);
        bits += Vector.Equals(exponent, exponentMask) & new Vector<uint>((128u - 16) << 23);
        var denormal = Vector.AsVectorUInt32(
            Vector.AsVectorSingle(bits + new Vector<uint>(1u << 23)) - new Vector<float>(BitConverter.UInt32BitsToSingle(113u << 23)));
        bits = Vector.ConditionalSelect(Vector.Equals(exponent, Vector<uint>.Zero), denormal, bits);
        return Vector.AsVectorSingle(bits | ((halves & new Vector<uint>(0x8000)) << 16));
    }
}

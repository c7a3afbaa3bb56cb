using Granary.Sharding.Links;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>What rows become on a link, and what they are after it.</summary>
public sealed class ActivationCodecTests
{
    public static TheoryData<WireFormat, int, int> Shapes
    {
        get
        {
            var data = new TheoryData<WireFormat, int, int>();
            foreach (var format in Enum.GetValues<WireFormat>())
            {
                foreach (var (rows, columns) in new[] { (1, 1), (1, 31), (3, 32), (2, 33), (5, 100), (4, 768) }) data.Add(format, rows, columns);
            }

            return data;
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Decode_WhatWasEncoded_IsWithinTheFormatsStep(WireFormat format, int rows, int columns)
    {
        var values = Values(rows * columns, seed: columns);
        var decoded = RoundTrip(format, values, columns);
        for (var i = 0; i < values.Length; i++)
        {
            var row = values.AsSpan(i / columns * columns, columns);
            var at = i % columns / ActivationCodec.BlockColumns * ActivationCodec.BlockColumns;
            var magnitude = row[at..Math.Min(at + ActivationCodec.BlockColumns, columns)].ToArray().Max(MathF.Abs);
            var step = format switch
            {
                WireFormat.Float32 => 0,
                WireFormat.Float16 => Math.Max(MathF.Abs(values[i]) / 2048, 3e-8f),
                _ => (magnitude / 254 * 1.0001f) + 1e-30f,
            };
            Assert.True(MathF.Abs(values[i] - decoded[i]) <= step, $"{values[i]} became {decoded[i]}, at most {step} away");
        }
    }

    /// <summary>A row does not depend on those beside it, and encoding what was decoded changes nothing more.</summary>
    [Theory, MemberData(nameof(Shapes))]
    public void Encode_RowAlone_GivesTheBytesItHasAmongOthers(WireFormat format, int rows, int columns)
    {
        var values = Values(rows * columns, seed: rows);
        var together = new byte[ActivationCodec.Bytes(format, rows, columns)];
        ActivationCodec.Encode(format, values, columns, together);
        var alone = new byte[ActivationCodec.Bytes(format, 1, columns)];
        for (var row = 0; row < rows; row++)
        {
            ActivationCodec.Encode(format, values.AsSpan(row * columns, columns), columns, alone);
            Assert.Equal(together.AsSpan(row * alone.Length, alone.Length).ToArray(), alone);
        }
    }

    [Fact]
    public void Float16_EveryHalf_ComesBackAsItself()
    {
        var values = Enumerable.Range(0, 1 << 16).Select(bits => (float)BitConverter.UInt16BitsToHalf((ushort)bits)).Where(float.IsFinite).ToArray();
        Assert.Equal(values.Select(BitConverter.SingleToUInt32Bits), RoundTrip(WireFormat.Float16, values, 1).Select(BitConverter.SingleToUInt32Bits));
    }

    /// <summary>The runtime's own conversion is what ours must agree with, but for what is beyond the range.</summary>
    [Fact]
    public void Float16_AnyFloat_RoundsAsTheRuntimeDoes()
    {
        var random = new Random(3);
        var values = Enumerable.Range(0, 200_000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)))
            .Select(value => MathF.Abs(value) > 1e6f ? value % 70000 : value).Where(float.IsFinite).ToArray();
        var expected = values.Select(value => (float)(Half)Math.Clamp(value, -65504f, 65504f));
        Assert.Equal(expected.Select(BitConverter.SingleToUInt32Bits), RoundTrip(WireFormat.Float16, values, 1).Select(BitConverter.SingleToUInt32Bits));
    }

    [Theory, InlineData(WireFormat.Float16, 1), InlineData(WireFormat.Float16, 40), InlineData(WireFormat.Int8, 32), InlineData(WireFormat.Int8, 5)]
    public void Decode_ValueThatIsNoNumber_IsNoneAfterwards(WireFormat format, int columns)
    {
        var values = Values(columns, seed: 1);
        values[columns - 1] = float.NaN;
        Assert.True(float.IsNaN(RoundTrip(format, values, columns)[columns - 1]));
    }

    [Theory, InlineData(32), InlineData(7)]
    public void Int8_ZerosAndTinyValues_BecomeZeros(int columns) =>
        Assert.All(RoundTrip(WireFormat.Int8, [.. Enumerable.Repeat(1e-38f, columns)], columns), value => Assert.Equal(0, value));

    [Fact]
    public void Encode_OtherSizeOfDestination_IsRefused() =>
        Assert.Contains("take 36 bytes", Assert.Throws<ArgumentException>(() => ActivationCodec.Encode(WireFormat.Int8, new float[32], 32, new byte[35])).Message, StringComparison.Ordinal);

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * MathF.Pow(10, random.Next(-4, 4)))];
    }

    private static float[] RoundTrip(WireFormat format, float[] values, int columns)
    {
        var bytes = new byte[ActivationCodec.Bytes(format, values.Length / columns, columns)];
        ActivationCodec.Encode(format, values, columns, bytes);
        var decoded = new float[values.Length];
        ActivationCodec.Decode(format, bytes, columns, decoded);
        return decoded;
    }
}

using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Import.Safetensors;
using Granary.Engine.Onnx.Import.Weights;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Import;

/// <summary>Widening is exact for every bit pattern, turning loses nothing, and quantisation stays within its bounds.</summary>
public sealed class WeightConversionTests
{
    [Fact]
    public void ToSingle_EveryHalf_IsExact()
    {
        var halves = Enumerable.Range(0, 65_536).Select(bits => (ushort)bits).ToArray();
        var floats = new float[halves.Length];

        FloatConversion.ToSingle("F16", MemoryMarshal.AsBytes<ushort>(halves), floats);

        foreach (var bits in halves)
        {
            var expected = (float)BitConverter.UInt16BitsToHalf(bits);
            if (float.IsNaN(expected)) Assert.True(float.IsNaN(floats[bits]));
            else Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(floats[bits]));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(37)]
    public void ToSingle_UnalignedBFloat16_IsExact(int count)
    {
        var random = new Random(count);
        var bytes = new byte[2 * count + 1];
        random.NextBytes(bytes);
        var floats = new float[count];

        FloatConversion.ToSingle("BF16", bytes.AsSpan(1), floats);

        for (var i = 0; i < count; i++)
            Assert.Equal(bytes[2 * i + 1] << 16 | bytes[2 * i + 2] << 24, BitConverter.SingleToInt32Bits(floats[i]));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(17, 300)]
    [InlineData(300, 17)]
    [InlineData(16, 256)]
    public void Transposed_AnyShape_TurnsEveryElement(int outputs, int inputs)
    {
        using var folder = new TemporaryFolder();
        var values = Enumerable.Range(0, outputs * inputs).Select(i => (float)i).ToArray();
        var header = $$$"""{"m":{"dtype":"F32","shape":[{{{outputs}}},{{{inputs}}}],"data_offsets":[0,{{{values.Length * 4}}}]}} """;
        File.WriteAllBytes(folder["model.safetensors"], [.. BitConverter.GetBytes((long)header.Length), .. System.Text.Encoding.ASCII.GetBytes(header), .. MemoryMarshal.AsBytes<float>(values)]);
        using var checkpoint = Checkpoint.Open(new SourceFolder(folder.Path));
        var stream = new MemoryStream();

        new TransposedContent(OnnxElementType.Float, new MatrixSource(new MatrixRange(checkpoint.Tensors["m"], 0, outputs, 0, inputs))).WriteTo(new TensorSink(stream, _ => { }, CancellationToken.None));

        var turned = MemoryMarshal.Cast<byte, float>(stream.ToArray());
        Assert.Equal(values.Length, turned.Length);
        for (var n = 0; n < outputs; n++)
        {
            for (var k = 0; k < inputs; k++) Assert.Equal(values[n * inputs + k], turned[k * outputs + n]);
        }
    }

    public static TheoryData<int> Seeds { get; } = [.. Enumerable.Range(1, 20)];

    /// <summary>The error of a weight is at most half a step.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void ToInt8_AnyBlock_IsWithinHalfAStep(int seed)
    {
        var random = new Random(seed);
        var bytes = new byte[32];
        for (var round = 0; round < 200; round++)
        {
            var block = Block(random);
            var scale = BlockQuantizer.ToInt8(block, bytes);
            Assert.Equal(block.Max(Math.Abs) / 127, scale);
            for (var i = 0; i < 32; i++) Assert.InRange(Math.Abs((bytes[i] - 128) * scale - block[i]), 0, scale * 0.5001f);
        }
    }

    /// <summary>The squared error is never above that of round-to-nearest on either plain scale: the search contains the one and beats the other on average.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void ToInt4_AnyBlock_IsNoWorseThanThePlainScale(int seed)
    {
        var random = new Random(seed);
        var bytes = new byte[16];
        var (searched, plain) = (0.0, 0.0);
        for (var round = 0; round < 200; round++)
        {
            var block = Block(random);
            var scale = BlockQuantizer.ToInt4(block, bytes);
            var error = block.Select((w, i) => Math.Pow(w - ((bytes[i / 2] >> (i % 2 * 4) & 15) - 8) * (double)scale, 2)).Sum();
            var plainScale = block.MaxBy(Math.Abs) / -8.0;
            var plainError = block.Select(w => Math.Pow(w - Math.Clamp(Math.Round(w / plainScale), -8, 7) * plainScale, 2)).Sum();
            Assert.True(error <= plainError * 1.0001, $"round {round}: {error} > {plainError}");
            searched += error;
            plain += plainError;
        }

        Assert.True(searched < 0.95 * plain, $"{searched} of {plain}");
    }

    [Fact]
    public void Quantise_BlockOfZeros_GivesZeros()
    {
        var bytes = new byte[32];
        Assert.Equal(0, BlockQuantizer.ToInt8(new float[32], bytes));
        Assert.All(bytes, b => Assert.Equal(128, b));
        Assert.Equal(0, BlockQuantizer.ToInt4(new float[32], bytes));
        Assert.All(bytes[..16], b => Assert.Equal(0x88, b));
    }

    private static float[] Block(Random random)
    {
        var size = MathF.Pow(10, random.Next(-6, 4));
        return [.. Enumerable.Range(0, 32).Select(_ => size * (random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f))];
    }
}

using System.Runtime.Intrinsics;
using Granary.Engine.Onnx.Execution;

namespace Granary.Tests.Unit.Onnx.Execution;

public sealed class PagedAttentionTests
{
    private const double Tolerance = 1e-5;

    /// <summary>Head size, query heads, KV heads, window, softcap, rotary pairs, interleaved, norm.</summary>
    public static TheoryData<int, int, int, int, float, int, bool, bool> Shapes => new()
    {
        { 8, 4, 2, -1, 0f, 4, false, false },
        { 2, 3, 1, -1, 0f, 1, true, false },
        { 16, 4, 4, -1, 0f, 8, false, false },
        { 24, 6, 2, -1, 0f, 6, true, false },
        { 64, 12, 12, -1, 0f, 32, false, false },
        { 64, 8, 2, 20, 0f, 32, false, false },
        { 64, 4, 1, -1, 5f, 32, true, false },
        { 80, 5, 5, -1, 0f, 16, false, false },
        { 96, 6, 2, 3, 0f, 48, false, false },
        { 128, 8, 4, -1, 0f, 64, false, true },
        { 128, 14, 2, 50, 2f, 0, false, false },
    };

    /// <summary>Chunks of prompts and decodes mixed, over scrambled blocks that hold NaN, give what the definition says.</summary>
    [Theory, MemberData(nameof(Shapes))]
    public void Step_MixedPrefillAndDecode_EqualsReference(int headSize, int heads, int kvHeads, int window, float softcap, int pairs, bool interleaved, bool norm)
    {
        foreach (var width in Widths())
        {
            var attention = Case(headSize, heads, kvHeads, window, softcap, pairs, interleaved, norm);
            var kernels = AttentionKernels.ForWidth(width);
            var cache = new AttentionCase.Cache(attention);
            (int, int, int)[][] steps =
            [
                [(0, 0, 37), (1, 0, 1), (2, 0, 16)],
                [(0, 37, 1), (2, 16, 9), (3, 0, 50), (1, 1, 1)],
                [(3, 50, 1), (2, 25, 1), (0, 38, 5), (1, 2, 3)],
            ];
            foreach (var chunks in steps)
            {
                var outputs = cache.Step(kernels, reverseUnits: false, chunks);
                var tokens = chunks.SelectMany(chunk => Enumerable.Range(0, chunk.Item3).Select(i => (chunk.Item1, chunk.Item2 + i)));
                foreach (var ((sequence, position), output) in tokens.Zip(outputs))
                {
                    var expected = attention.Reference(sequence, position);
                    var largest = expected.Max(Math.Abs);
                    for (var i = 0; i < output.Length; i++)
                    {
                        Assert.True(
                            Math.Abs(output[i] - expected[i]) <= Tolerance * largest,
                            $"{width} bits, sequence {sequence}, position {position}, element {i}: {output[i]:R}, expected {expected[i]:R}");
                    }
                }
            }
        }
    }

    /// <summary>A token's output has the same bits alone, in a batch, in any chunks, in any order of work items and on any width.</summary>
    [Theory, MemberData(nameof(Shapes))]
    public void Step_AnyBatchChunkOrderAndWidth_SameBits(int headSize, int heads, int kvHeads, int window, float softcap, int pairs, bool interleaved, bool norm)
    {
        const int Length = 71;
        var attention = Case(headSize, heads, kvHeads, window, softcap, pairs, interleaved, norm);
        var best = AttentionKernels.Best;
        var whole = new AttentionCase.Cache(attention).Step(best, reverseUnits: false, (0, 0, Length));

        var single = new AttentionCase.Cache(attention);
        for (var p = 0; p < Length; p++) AssertSameBits(whole[p], single.Step(best, reverseUnits: false, (0, p, 1))[0], $"alone, position {p}");

        var random = new Random(attention.Seed);
        foreach (var width in Widths())
        {
            var batched = new AttentionCase.Cache(attention);
            for (var past = 0; past < Length;)
            {
                var count = Math.Min(random.Next(1, 23), Length - past);
                var outputs = batched.Step(AttentionKernels.ForWidth(width), reverseUnits: true, (5, past, 3), (0, past, count), (1, past, 2));
                for (var i = 0; i < count; i++) AssertSameBits(whole[past + i], outputs[3 + i], $"{width} bits, chunk of {count} after {past}, token {i}");
                // The neighbours' next tokens fill their gaps, so that no position is skipped.
                batched.Step(AttentionKernels.ForWidth(width), reverseUnits: false, (5, past, count), (1, past, count));
                past += count;
            }
        }
    }

    [Fact]
    public void Step_BlocksOfSeveralTiles_EqualsReference()
    {
        var attention = new AttentionCase { Seed = 11, BlockTokens = 48, RotaryPairs = 32 };
        var outputs = new AttentionCase.Cache(attention).Step(AttentionKernels.Best, reverseUnits: false, (0, 0, 60), (1, 0, 5));
        var expected = attention.Reference(0, 59);
        for (var i = 0; i < expected.Length; i++) Assert.Equal(expected[i], outputs[59][i], Tolerance);
    }

    [Fact]
    public void Plan_PositionBeyondTheContext_IsRefusedByName()
    {
        var cache = new AttentionCase.Cache(new AttentionCase { Seed = 1, Context = 32 });
        var failure = Assert.Throws<InvalidOperationException>(() => cache.Step(AttentionKernels.Best, reverseUnits: false, (0, 30, 3)));
        Assert.Contains("position 32", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-86.9f)]
    [InlineData(-20f)]
    [InlineData(-1f)]
    [InlineData(-0.3f)]
    [InlineData(0f)]
    [InlineData(20f)]
    public unsafe void Exp_MatchesDoublePrecision(float x)
    {
        var result = stackalloc float[16];
        Lanes128.Store(Lanes.Exp(Lanes128.Create(x)), result);
        Assert.Equal(1, result[0] / Math.Exp(x), 3e-7);
    }

    private static AttentionCase Case(int headSize, int heads, int kvHeads, int window, float softcap, int pairs, bool interleaved, bool norm) => new()
    {
        Seed = headSize + heads,
        HeadSize = headSize,
        Heads = heads,
        KvHeads = kvHeads,
        Window = window,
        Softcap = softcap,
        RotaryPairs = pairs,
        Interleaved = interleaved,
        Norm = norm,
        Context = 96,
        Scale = 1.5f / MathF.Sqrt(headSize),
    };

    private static IEnumerable<int> Widths() =>
        new[] { (512, Vector512.IsHardwareAccelerated), (256, Vector256.IsHardwareAccelerated), (128, true) }.Where(w => w.Item2).Select(w => w.Item1);

    private static void AssertSameBits(float[] expected, float[] actual, string where)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(
                BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(actual[i]), $"{where}, element {i}: {expected[i]:R} and {actual[i]:R}");
        }
    }
}

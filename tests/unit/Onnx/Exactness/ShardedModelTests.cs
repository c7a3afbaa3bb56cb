using Granary.Engine;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Onnx.Exactness;

/// <summary>A model cut into shards against the whole one: the same tokens in float32, near logits in every format, the same bits in every run.</summary>
public sealed class ShardedModelTests(ExactnessTests.Models models) : IClassFixture<ExactnessTests.Models>
{
    /// <summary>Sums over ranks have another order than those of the whole; float32 logits of both models lie between -30 and 30.</summary>
    private const float LogitTolerance = 1e-4f;

    public static TheoryData<string, string> Cuts()
    {
        var cuts = new TheoryData<string, string>();
        foreach (var cut in ExactnessTests.Cuts)
        {
            cuts.Add(ExactnessTests.TinyAssistant, cut);
            if (SharedData.Root is not null) cuts.Add(ExactnessTests.Stories260K, cut);
        }

        return cuts;
    }

    /// <summary>Greedy and seeded, with penalties and filters: the requests of the exactness contract.</summary>
    [Theory, MemberData(nameof(Cuts))]
    public async Task Generate_InShards_TokensOfTheWhole(string name, string cut)
    {
        var whole = models.Get(name, WeightFormat.Float32);
        var alone = await whole.AloneAsync();
        await using var engine = InferenceEngine.Start(new(), models.Get(name, WeightFormat.Float32, cut).Open());

        var cutUp = await Task.WhenAll(whole.Requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < alone.Length; i++)
        {
            Assert.Equal(EngineHarness.Ids(alone[i].Tokens), EngineHarness.Ids(cutUp[i]));
            Assert.Equal(alone[i].Tokens[^1].End, cutUp[i][^1].End);
        }
    }

    [Theory, MemberData(nameof(Cuts))]
    public void Logits_InShards_NearTheWhole(string name, string cut)
    {
        var worst = Compare(name, WeightFormat.Float32, cut, out _);

        Assert.InRange(worst, 0, LogitTolerance);
    }

    /// <summary>Stages alone change no bit: what they pass on is what the whole computes at that place.</summary>
    [Theory]
    [InlineData(WeightFormat.Float32, "2x1")]
    [InlineData(WeightFormat.Float32, "3x1")]
    [InlineData(WeightFormat.Int8, "2x1")]
    [InlineData(WeightFormat.Int4, "2x1")]
    public void Logits_InStages_BitsOfTheWhole(WeightFormat format, string cut) => Assert.Equal(0, Compare(ExactnessTests.TinyAssistant, format, cut, out _));

    /// <summary>Root mean square of the difference to the whole model in the same format, against that of its logits.</summary>
    /// <remarks>Activations are rounded to 8 bits in blocks in front of every product, which makes much of the least difference in a sum.</remarks>
    [Theory]
    [InlineData(WeightFormat.Int8, "1x2")]
    [InlineData(WeightFormat.Int8, "2x2")]
    [InlineData(WeightFormat.Int4, "1x2")]
    [InlineData(WeightFormat.Int4, "2x2")]
    public void Logits_QuantisedInRanks_StayNearTheWhole(WeightFormat format, string cut)
    {
        Compare(ExactnessTests.TinyAssistant, format, cut, out var error);

        Assert.InRange(error, 1e-9, 0.02);
    }

    [Theory]
    [InlineData(WeightFormat.Float32, "2x2")]
    [InlineData(WeightFormat.Float32, "1x4")]
    [InlineData(WeightFormat.Int8, "2x2")]
    [InlineData(WeightFormat.Int4, "2x2")]
    public void Logits_InAnotherRun_SameBits(WeightFormat format, string cut)
    {
        var model = models.Get(ExactnessTests.TinyAssistant, format, cut);
        using var first = model.Open(blocks: 16);
        using var second = model.Open(blocks: 16);
        var (one, other) = (new SequenceRunner(first), new SequenceRunner(second));
        foreach (var tokens in Pieces(first.Shape.VocabularySize))
            Assert.Equal(one.Append(tokens).Select(BitConverter.SingleToInt32Bits), other.Append(tokens).Select(BitConverter.SingleToInt32Bits));
    }

    /// <returns>The largest difference of a logit; and the root mean square of all, relative.</returns>
    private float Compare(string name, WeightFormat format, string cut, out double relativeError)
    {
        using var whole = models.Get(name, format).Open(blocks: 16);
        using var shards = models.Get(name, format, cut).Open(blocks: 16);
        var (expected, actual) = (new SequenceRunner(whole), new SequenceRunner(shards));
        var (worst, errors, squares) = (0f, 0.0, 0.0);
        foreach (var tokens in Pieces(whole.Shape.VocabularySize))
        {
            foreach (var (wanted, got) in expected.Append(tokens).Zip(actual.Append(tokens)))
            {
                worst = Math.Max(worst, Math.Abs(wanted - got));
                errors += (wanted - got) * (wanted - got);
                squares += wanted * wanted;
            }
        }

        relativeError = Math.Sqrt(errors / squares);
        return worst;
    }

    /// <summary>A prompt and single tokens behind it.</summary>
    private static IEnumerable<int[]> Pieces(int vocabulary)
    {
        var random = new Random(31);
        yield return EngineHarness.RandomPrompt(random, 70, vocabulary);
        for (var i = 0; i < 20; i++) yield return EngineHarness.RandomPrompt(random, 1, vocabulary);
    }
}

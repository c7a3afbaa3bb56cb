using Granary.Engine.Execution;
using Granary.Engine.Sampling;

namespace Granary.Tests.Unit.Engine;

public sealed class SamplerTests
{
    private static readonly SamplingParameters Greedy = new() { MaxTokens = 1, Temperature = 0 };
    private static readonly SamplingParameters Plain = new() { MaxTokens = 1 };

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 30)];

    [Theory]
    [InlineData(0u, 0u, 0u, 0u, 0u, 0u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Philox_Random123Vectors_AreMet(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1, uint x0, uint x1, uint x2, uint x3) =>
        Assert.Equal((x0, x1, x2, x3), Philox.Block(c0, c1, c2, c3, k0, k1));

    [Fact]
    public void Philox_SeedChoiceOrPositionDiffers_DrawsDiffer()
    {
        var draws = new HashSet<double>();
        foreach (var seed in new ulong[] { 0, 1, 1UL << 32, ulong.MaxValue })
        {
            for (var choice = 0; choice < 4; choice++)
            {
                for (var position = 0; position < 64; position++) draws.Add(Philox.Uniform(seed, choice, position));
            }
        }

        Assert.Equal(4 * 4 * 64, draws.Count);
        Assert.All(draws, draw => Assert.InRange(draw, 0, 1 - double.Epsilon));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1023)]
    [InlineData(1025)]
    [InlineData(32_000)]
    public void Greedy_EqualHighest_TakesTheLowestId(int columns)
    {
        var random = new Random(columns);
        for (var round = 0; round < 50; round++)
        {
            var row = Row(random, columns);
            var (first, second) = (random.Next(columns), random.Next(columns));
            row[first] = row[second] = 50;

            Assert.Equal(Math.Min(first, second), Sample(row, Greedy));
        }
    }

    [Theory]
    [InlineData(0, 40)]
    [InlineData(17, 40)]
    [InlineData(39, 40)]
    [InlineData(31_999, 32_000)]
    public void Sample_NaNInRow_ThrowsNamingTheRow(int column, int columns)
    {
        var row = new float[columns];
        row[column] = float.NaN;

        var error = Assert.Throws<StepFailedException>(() => new Sampler(columns).Sample(row, Greedy, [], [], 0, row: 5));
        Assert.Contains("row 5", error.Message);
    }

    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Sample_HighestNotFinite_Throws(float value)
    {
        var row = new float[40];
        Array.Fill(row, value);
        Assert.Throws<StepFailedException>(() => Sample(row, Plain));
    }

    [Fact]
    public void Sample_MinTokensNotReached_NeverChoosesStopIds()
    {
        var parameters = Greedy with { MinTokens = 2, MaxTokens = 9, StopTokenIds = new HashSet<int> { 3, 900 } };
        float[] row = [0, 1, 2, 9, 4];

        Assert.Equal(4, Sample(row, parameters, output: [1]));
        Assert.Equal(3, Sample(row, parameters, output: [1, 1]));
    }

    [Fact]
    public void Sample_BiasAndPenalties_ChangeLogitsAsDefined()
    {
        float[] row = [2, -2, 3, 1, 0];
        var parameters = Greedy with
        {
            RepetitionPenalty = 2, PresencePenalty = 0.5f, FrequencyPenalty = 0.25f,
            LogitBias = new Dictionary<int, float> { [4] = 1.5f }, TopLogprobs = 5,
        };

        // 0: in the prompt; 1: prompt and twice in the output; 2: once in the output; 3: nowhere; 4: bias, twice in the prompt.
        Sample(row, parameters, prompt: [0, 1, 4, 4], output: [1, 2, 1], edited: out var edited);

        Assert.Equal([1, -4 - 0.5f - 0.5f, 1.5f - 0.5f - 0.25f, 1, 0.75f], edited);
    }

    [Fact]
    public void Sample_PenaltiesInOneCall_LeaveNoTraceInTheNext()
    {
        var sampler = new Sampler(4);
        sampler.Sample([1, 2, 3, 4], Greedy with { PresencePenalty = 2, RepetitionPenalty = 2 }, [3], [3, 2], 0, 0);
        float[] row = [1, 2, 3, 4];
        sampler.Sample(row, Greedy with { PresencePenalty = 1 }, [], [0], 0, 0);

        Assert.Equal([0, 2, 3, 4], row);
    }

    /// <summary>Whatever the row and the filters, tokens come exactly from the set that sorting would keep.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Sample_AnyFilters_DrawsFromTheSetOfASort(int seed)
    {
        var random = new Random(seed);
        var columns = random.Next(2, 3_000);
        var row = Row(random, columns, spread: random.Next(1, 12));
        for (var i = 0; i < columns / 4; i++) row[random.Next(columns)] = row[random.Next(columns)]; // Ties.
        var parameters = Plain with
        {
            Temperature = 0.2f + random.NextSingle() * 2,
            TopK = random.Next(3) == 0 ? 0 : random.Next(1, columns + 2),
            TopP = random.Next(3) == 0 ? 1 : 0.05f + random.NextSingle() * 0.94f,
            MinP = random.Next(3) == 0 ? random.NextSingle() * 0.3f : 0,
        };
        var kept = ReferenceFilter(row, parameters);
        var sampler = new Sampler(columns);

        var drawn = new HashSet<int>();
        for (var choice = 0; choice < 300; choice++) drawn.Add(sampler.Sample([.. row], parameters, [], [], choice, 0).TokenId);

        Assert.Empty(drawn.Except(kept));
        if (kept.Count <= 3) Assert.Superset(drawn, kept);
    }

    [Theory]
    [InlineData(1f, 0, 1f, 0f)]
    [InlineData(0.5f, 0, 1f, 0f)]
    [InlineData(1.5f, 5, 1f, 0f)]
    [InlineData(1f, 0, 0.8f, 0f)]
    [InlineData(1f, 0, 1f, 0.1f)]
    [InlineData(1.3f, 9, 0.9f, 0.05f)]
    public void Sample_ManyDraws_FollowTheDistribution(float temperature, int topK, float topP, float minP)
    {
        const int Draws = 20_000;
        float[] row = [.. Enumerable.Range(0, 12).Select(i => MathF.Sin(i * 7) * 2)];
        var parameters = Plain with { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, Seed = 20260101 };
        var kept = ReferenceFilter(row, parameters);
        var total = kept.Sum(id => Math.Exp(row[id] / temperature));
        var counts = new int[row.Length];
        var sampler = new Sampler(row.Length);
        for (var position = 0; position < Draws; position++)
            counts[sampler.Sample([.. row], parameters, [], new int[position % 200], position / 200, 0).TokenId]++;

        double statistic = 0;
        foreach (var id in kept)
        {
            var expected = Draws * Math.Exp(row[id] / temperature) / total;
            statistic += (counts[id] - expected) * (counts[id] - expected) / expected;
        }

        Assert.Equal(Draws, kept.Sum(id => counts[id]));
        Assert.InRange(statistic, 0, 36); // Chi-square: 99.98 % at 11 degrees of freedom, the most there are.
    }

    [Fact]
    public void Sample_TopKOne_EqualsGreedy()
    {
        var random = new Random(4);
        for (var round = 0; round < 100; round++)
        {
            var row = Row(random, 500);
            row[random.Next(500)] = row.Max();
            Assert.Equal(Sample(row, Greedy), Sample(row, Plain with { TopK = 1, Temperature = 3 }));
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(2_000)]
    public void Sample_Logprobs_EqualLogSoftmax(int columns)
    {
        var row = Row(new(9), columns);
        var logOfSum = Math.Log(row.Sum(logit => Math.Exp(logit)));
        var expected = Enumerable.Range(0, columns).OrderByDescending(id => row[id]).ThenBy(id => id).Take(20).ToArray();

        var sampled = new Sampler(columns).Sample([.. row], Plain with { TopLogprobs = Math.Min(20, columns), Temperature = 0.3f }, [], [], 0, 0);

        Assert.Equal(expected, sampled.Logprobs!.TopTokenIds);
        Assert.Equal(row[sampled.TokenId] - logOfSum, sampled.Logprobs.Chosen, 1e-5);
        for (var i = 0; i < expected.Length; i++) Assert.Equal(row[expected[i]] - logOfSum, sampled.Logprobs.Top[i], 1e-5);
    }

    [Fact]
    public void Sample_NoTopLogprobs_ReportsTheChosenAlone()
    {
        var sampled = new Sampler(3).Sample([0, 0, 0], Plain with { TopLogprobs = 0 }, [], [], 0, 0);
        Assert.Empty(sampled.Logprobs!.Top);
        Assert.Equal(-MathF.Log(3), sampled.Logprobs.Chosen, 1e-6);
    }

    private static HashSet<int> ReferenceFilter(float[] row, SamplingParameters parameters)
    {
        var sorted = Enumerable.Range(0, row.Length).OrderByDescending(id => row[id]).ThenBy(id => id).ToArray();
        var max = row.Max();
        double Weight(int id) => Math.Exp((row[id] - max) / (double)parameters.Temperature);
        if (parameters.TopK > 0) sorted = [.. sorted.Take(parameters.TopK)];
        if (parameters.TopP < 1)
        {
            var target = parameters.TopP * sorted.Sum(Weight);
            double mass = 0;
            sorted = [.. sorted.TakeWhile(id =>
            {
                var before = mass;
                mass += Weight(id);
                return before < target;
            })];
        }

        return [.. sorted.Where(id => Weight(id) >= parameters.MinP)];
    }

    private static float[] Row(Random random, int columns, float spread = 5)
    {
        var row = new float[columns];
        for (var i = 0; i < columns; i++) row[i] = (random.NextSingle() - 0.5f) * 2 * spread;
        return row;
    }

    private static int Sample(float[] row, SamplingParameters parameters, int[]? prompt = null, int[]? output = null) =>
        Sample(row, parameters, prompt ?? [], output ?? [], out _);

    private static int Sample(float[] row, SamplingParameters parameters, int[] prompt, int[] output, out float[] edited)
    {
        edited = [.. row];
        return new Sampler(row.Length).Sample(edited, parameters, prompt, output, 0, 0).TokenId;
    }
}

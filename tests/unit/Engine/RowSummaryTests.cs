using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>A token drawn from summaries of a row's slices is the one that the row gives.</summary>
public sealed class RowSummaryTests
{
    private const int Block = RowSummary.BlockColumns;

    public static IEnumerable<object[]> SeedsAndSlices =>
        from seed in Enumerable.Range(0, 25) from slices in (int[])[1, 2, 4, 8] select new object[] { seed, slices };

    [Theory, MemberData(nameof(SeedsAndSlices))]
    public void Sample_AnySlicesAndParameters_EqualsTheRow(int seed, int slices)
    {
        var random = new Random(seed);
        var columns = slices * Block * random.Next(1, 4) + random.Next(-Block + 1, Block);
        // Slices that begin where blocks do, and in every third case anywhere.
        var starts = Starts(random, columns, slices, aligned: seed % 3 != 0);
        var sampler = new Sampler(columns);
        for (var round = 0; round < 40; round++)
        {
            var row = Row(random, columns);
            var parameters = AnyParameters(random);
            var expected = sampler.Sample(row.ToArray(), parameters, [], [], choice: round, row: 0);
            var output = new Summaries(row, starts, Sampler.WantOf(parameters, 0));

            Assert.Equal(expected, sampler.Sample(output, 0, parameters, [], [], choice: round, row: 0));
        }
    }

    [Theory, MemberData(nameof(SeedsAndSlices))]
    public void Merge_SlicesOfBlocks_EqualTheSummaryOfTheRow(int seed, int slices)
    {
        var random = new Random(seed);
        var columns = slices * Block * random.Next(1, 4) + random.Next(1, Block);
        var row = Row(random, columns);
        foreach (var temperature in (float[])[0, 0.3f, 1, 2])
        {
            var whole = Summaries.Of(row, [0], temperature);
            var merged = Summaries.Of(row, Starts(random, columns, slices, aligned: true), temperature);

            Assert.Equal((whole.BestColumn, whole.Best, whole.ColumnCount), (merged.BestColumn, merged.Best, merged.ColumnCount));
            Assert.Equal(whole.BlockMaxima.ToArray(), merged.BlockMaxima.ToArray());
            Assert.Equal(whole.BlockSums.ToArray(), merged.BlockSums.ToArray());
            Assert.Equal(whole.CandidateColumns.ToArray(), merged.CandidateColumns.ToArray());
            Assert.Equal(whole.CandidateLogits.ToArray(), merged.CandidateLogits.ToArray());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(5_000)]
    [InlineData(40_000)]
    public void Summarize_AnyRow_TellsWhatTheRowHas(int columns)
    {
        var random = new Random(columns);
        for (var round = 0; round < 30; round++)
        {
            var row = Row(random, columns);
            var summary = new RowSummary();
            new RowSummarizer(columns).Summarize(row, 2 * Block, 0.7f, summary);

            var best = Enumerable.Range(0, columns).Where(column => !float.IsNegativeInfinity(row[column]))
                .OrderByDescending(column => row[column]).ThenBy(column => column).Take(RowSummary.MaxCandidates).ToArray();
            Assert.Equal((2 * Block + best[0], row[best[0]]), (summary.BestColumn, summary.Best));
            Assert.Equal(best.Order().Select(column => 2 * Block + column), summary.CandidateColumns.ToArray());
            Assert.Equal(best.Order().Select(column => row[column]), summary.CandidateLogits.ToArray());
            var blocks = row.Chunk(Block).ToArray();
            Assert.Equal(blocks.Select(block => block.Max()), summary.BlockMaxima.ToArray());
            for (var b = 0; b < blocks.Length; b++)
            {
                var max = (double)blocks[b].Max();
                var sum = double.IsNegativeInfinity(max) ? 0 : blocks[b].Sum(logit => Math.Exp((logit - max) / 0.7f));
                Assert.InRange(summary.BlockSums[b], sum * 0.99999, sum * 1.00001);
            }
        }
    }

    [Theory]
    [InlineData("greedy", 0, 0)]
    [InlineData("plain", 0, 1)]
    [InlineData("top-k", 0, 0)]
    [InlineData("top-p", 0, 0)]
    [InlineData("min-p", 0, 0)]
    [InlineData("wide top-p", 1, 0)]
    [InlineData("biased", 1, 0)]
    [InlineData("scored", 1, 0)]
    public void Sample_FromSummary_FetchesNoMoreThanItNeeds(string kind, int rows, int parts)
    {
        var parameters = new SamplingParameters { MaxTokens = 1 };
        parameters = kind switch
        {
            "greedy" => parameters with { Temperature = 0 },
            "top-k" => parameters with { TopK = RowSummary.MaxCandidates, TopP = 0.9f },
            "top-p" => parameters with { TopP = 0.8f },
            "min-p" => parameters with { MinP = 0.1f },
            "wide top-p" => parameters with { TopP = 0.999999f },
            "biased" => parameters with { LogitBias = new Dictionary<int, float> { [3] = 1 } },
            "scored" => parameters with { TopLogprobs = 0 },
            _ => parameters,
        };
        var random = new Random(7);
        var row = new float[8 * Block];
        for (var i = 0; i < row.Length; i++) row[i] = 4 * random.NextSingle();
        for (var i = 0; i < 20; i++) row[random.Next(row.Length)] += 14;
        var output = new Summaries(row, [0, 4 * Block], Sampler.WantOf(parameters, 0));

        new Sampler(row.Length).Sample(output, 0, parameters, [], [], choice: 0, row: 0);

        Assert.Equal((rows, parts), (output.WholeRows, output.Parts));
    }

    [Fact]
    public void Sample_NaNInOneSlice_ThrowsNamingTheRow()
    {
        var row = new float[2 * Block];
        row[^1] = float.NaN;
        foreach (var temperature in (float[])[0, 1])
        {
            var output = new Summaries(row, [0, Block], temperature);
            var error = Assert.Throws<StepFailedException>(
                () => new Sampler(row.Length).Sample(output, 0, new() { MaxTokens = 1, Temperature = temperature }, [], [], choice: 0, row: 5));
            Assert.Contains("row 5", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Merge_SlicesWithAGap_Throws()
    {
        var (first, second) = (new RowSummary(), new RowSummary());
        first.Reset(0, Block, 1, 0);
        second.Reset(Block + 1, Block, 1, 0);
        var error = Assert.Throws<ArgumentException>(() => new RowSummary().Merge([first, second]));
        Assert.Contains("column 1025", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Through the engine: what requests generate does not depend on whether their rows come whole or in summaries, of however many slices.</summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(4, 2)]
    [InlineData(8, 3)]
    public async Task Generate_FromSummaries_EqualsAlone(int slices, int depth)
    {
        var device = new SimulatedDevice { VocabularySize = 8 * Block, StepsInFlight = depth };
        var random = new Random(slices);
        var requests = Enumerable.Range(0, 24).Select(i => EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 50)), 20) with
        {
            Sampling = AnyParameters(random) with { MaxTokens = 20, TopLogprobs = i % 8 == 0 ? 2 : null },
            PromptLogprobs = i % 8 == 1 ? 1 : null,
        }).ToArray();
        var executor = new SummarizingExecutor(new SimulatedExecutor(device), Starts(random, 8 * Block, slices, aligned: true));
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 40 }, executor);

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++)
            Assert.Equal(await EngineHarness.Alone(requests[i], device with { StepsInFlight = 1 }), EngineHarness.Ids(results[i]));
        Assert.Equal(20 * requests.Count(request => Sampler.WantOf(request.Sampling, 0) != RowWants.Whole), executor.Summaries);
        Assert.True(executor.Parts > 0, "No request drew from all columns.");
        Assert.Equal(0, executor.Surprises);
        Assert.True(executor.WholeRows < executor.Summaries / 2, $"{executor.WholeRows} rows of {executor.Summaries} were fetched whole.");
    }

    private static SamplingParameters AnyParameters(Random random) => new()
    {
        MaxTokens = 1,
        Seed = (ulong)random.NextInt64(),
        Temperature = random.Next(6) == 0 ? 0 : MathF.Exp(random.NextSingle() * 4 - 3),
        TopK = random.Next(3) == 0 ? random.Next(1, 200) : 0,
        TopP = random.Next(3) == 0 ? 1 - MathF.Pow(random.NextSingle(), 2) : 1,
        MinP = random.Next(3) == 0 ? random.NextSingle() * 0.3f : 0,
    };

    /// <summary>Rows as models have them, and others: many equal logits, masked ones, no peak at all, nothing but peaks.</summary>
    private static float[] Row(Random random, int columns)
    {
        var row = new float[columns];
        var kind = random.Next(5);
        var spread = MathF.Exp(random.NextSingle() * 5 - 2);
        for (var i = 0; i < columns; i++)
        {
            row[i] = kind switch
            {
                0 => 3,
                1 => random.Next(8),
                2 when random.Next(3) > 0 => float.NegativeInfinity,
                _ => spread * (random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f),
            };
        }

        for (var peaks = kind == 4 ? 30 : 0; peaks > 0; peaks--) row[random.Next(columns)] += 12 * random.NextSingle();
        row[random.Next(columns)] = 9;
        return row;
    }

    private static int[] Starts(Random random, int columns, int slices, bool aligned)
    {
        var unit = aligned ? Block : 1;
        var places = Enumerable.Range(1, (columns - 1) / unit).Select(place => place * unit).ToArray();
        random.Shuffle(places);
        return [0, .. places.Take(slices - 1).Order()];
    }

    /// <summary>One row of logits, of which ranks gave summaries.</summary>
    private sealed class Summaries(float[] row, int[] starts, float want) : StepOutput
    {
        public int WholeRows { get; private set; }

        public int Parts { get; private set; }

        public override Span<float> Hidden => [];

        public static RowSummary Of(float[] row, int[] starts, float temperature)
        {
            var slices = starts.Select(_ => new RowSummary()).ToArray();
            for (var i = 0; i < starts.Length; i++)
            {
                var slice = row.AsSpan(starts[i]..(i + 1 < starts.Length ? starts[i + 1] : row.Length));
                new RowSummarizer(slice.Length).Summarize(slice, starts[i], temperature, slices[i]);
            }

            var merged = new RowSummary();
            merged.Merge(slices);
            return merged;
        }

        public override Span<float> Logits(int row)
        {
            WholeRows++;
            return Row;
        }

        public override ReadOnlySpan<float> Columns(int row, int first, int count)
        {
            Parts++;
            return Row.AsSpan(first, count);
        }

        public override RowSummary? Summary(int row) => want == RowWants.Whole ? null : Of(Row, starts, want);

        private float[] Row { get; } = [.. row];
    }
}

using System.Text;
using System.Text.Json;
using Granary.Client.Cli.CommandLine;
using Granary.Client.Cli.Load;

namespace Granary.Tests.Client.Cli;

/// <summary>The load generator's arithmetic: arrivals, lengths, prompts, percentiles, frames, goodput.</summary>
public sealed class LoadArithmeticTests
{
    [Fact]
    public void ConstantArrivals_AreMultiplesOfTheGap_HoweverMany()
    {
        var times = ArrivalTimes.Of(Arrivals.Constant, 3, seed: 1).Take(3_000_000);
        Assert.Equal(TimeSpan.FromSeconds(1_000_000), times.Last());
    }

    /// <summary>Poisson: gaps have mean 1/rate and deviation 1/rate, and arrivals a second have variance equal to their mean.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void PoissonArrivals_HaveThatDistribution_AndRepeatWithTheSeed(int seed)
    {
        const int Count = 100_000;
        const double Rate = 20;
        var times = ArrivalTimes.Of(Arrivals.Poisson, Rate, seed).Take(Count).Select(time => time.TotalSeconds).ToArray();
        var gaps = times.Zip(times.Prepend(0), (next, previous) => next - previous).ToArray();
        Assert.All(gaps, gap => Assert.True(gap >= 0));
        var mean = gaps.Average();
        var deviation = Math.Sqrt(gaps.Average(gap => (gap - mean) * (gap - mean)));
        // Twelve standard errors: never by chance.
        Assert.InRange(mean * Rate, 0.96, 1.04);
        Assert.InRange(deviation * Rate, 0.93, 1.07);
        var perSecond = times.GroupBy(time => (int)time).ToDictionary(group => group.Key, group => group.Count());
        var counts = Enumerable.Range(0, (int)times[^1]).Select(second => (double)perSecond.GetValueOrDefault(second)).ToArray();
        Assert.InRange(counts.Average(count => (count - counts.Average()) * (count - counts.Average())) / counts.Average(), 0.8, 1.2);
        Assert.Equal(times, ArrivalTimes.Of(Arrivals.Poisson, Rate, seed).Take(Count).Select(time => time.TotalSeconds));
        Assert.NotEqual(times[0], ArrivalTimes.Of(Arrivals.Poisson, Rate, seed + 1).First().TotalSeconds);
    }

    /// <summary>Percentiles are within half a percent of those of the sorted durations; ends, mean and count are exact.</summary>
    [Theory, InlineData(1, 1), InlineData(2, 7), InlineData(3, 100), InlineData(4, 20_000)]
    public void Histogram_AgreesWithSorting(int seed, int count)
    {
        var random = new Random(seed);
        var values = Enumerable.Range(0, count).Select(_ => Math.Exp((random.NextDouble() * 20) - 12)).ToArray();
        var histogram = new LatencyHistogram();
        foreach (var value in values) histogram.Record(value);
        var sorted = values.Order().ToArray();
        Assert.Equal((count, sorted[0], sorted[^1]), (histogram.Count, histogram.Min, histogram.Max));
        Assert.Equal(values.Average(), histogram.Mean, 1e-9 * values.Average());
        foreach (var fraction in (double[])[0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 1])
        {
            var exact = sorted[Math.Max(0, (int)Math.Ceiling((fraction * count) - 1e-9) - 1)];
            Assert.InRange(histogram.Percentile(fraction) / exact, 1 - (LatencyHistogram.RelativeError * 1.01), 1 + (LatencyHistogram.RelativeError * 1.01));
        }

        var curve = histogram.Cumulative().ToList();
        Assert.Equal((sorted[^1], 1.0), curve[^1]);
        Assert.Equal(curve.OrderBy(point => point.Seconds), curve);
        Assert.Equal(curve.OrderBy(point => point.Fraction), curve);
    }

    [Fact]
    public void Histogram_TakesNothingAndExtremes()
    {
        var histogram = new LatencyHistogram();
        Assert.Equal((0, 0, 0), (histogram.Percentile(0.5), histogram.Mean, histogram.Cumulative().Count()));
        histogram.Record(0);
        histogram.Record(1e9);
        Assert.Equal((0, 1e9, 5e8), (histogram.Min, histogram.Max, histogram.Mean));
        Assert.Equal((0.0, 1.0), (Math.Round(histogram.Percentile(0.5), 5), histogram.Cumulative().Last().Fraction));
    }

    [Theory]
    [InlineData("1", 1, 1), InlineData("64", 64, 64), InlineData("10-20", 10, 20), InlineData("7-7", 7, 7), InlineData("1048576", 1_048_576, 1_048_576)]
    public void Lengths_AreOneOrARange(string text, int min, int max)
    {
        Assert.True(LengthDistribution.TryParse(text, out var lengths));
        Assert.Equal(new LengthDistribution(min, max), lengths);
        var random = new Random(5);
        var drawn = Enumerable.Range(0, 2000).Select(_ => lengths.Draw(random)).ToHashSet();
        Assert.Equal((min, max), (drawn.Min(), drawn.Max()));
        Assert.Equal(min == max ? min.ToString() : text, lengths.ToString());
    }

    [Theory, InlineData(""), InlineData("0"), InlineData("-5"), InlineData("5-"), InlineData("20-10"), InlineData("1-2-3"), InlineData("x"), InlineData("1.5"), InlineData("1048577")]
    public void Lengths_OutOfBounds_AreRefused(string text) => Assert.False(LengthDistribution.TryParse(text, out _));

    [Fact]
    public void Trace_IsReadByItsColumnNames()
    {
        var rows = LengthTrace.Read(new StringReader("time,output_length, input_length\n0,5,100\n\n1, 6 ,200\n"), "t.csv");
        Assert.Equal([(100, 5), (200, 6)], rows);
    }

    [Theory]
    [InlineData("", "t.csv: line 1 must name the columns input_length and output_length.")]
    [InlineData("input_length\n1", "t.csv: line 1 must name the columns input_length and output_length.")]
    [InlineData("input_length,output_length\n", "t.csv: no rows.")]
    [InlineData("input_length,output_length\n1,2\n3\n", "t.csv: line 3: output_length is ''; it must be a whole number from 1 to 1048576.")]
    [InlineData("input_length,output_length\n0,2\n", "t.csv: line 2: input_length is '0'; it must be a whole number from 1 to 1048576.")]
    public void Trace_ThatIsWrong_IsRefusedByLine(string text, string message) =>
        Assert.Equal(message, Assert.Throws<CliException>(() => LengthTrace.Read(new StringReader(text), "t.csv")).Message);

    [Fact]
    public void Prompts_DependOnSeedAndIndexAlone()
    {
        var settings = Settings() with { PromptTokens = new(5, 50), OutputTokens = new(1, 100) };
        var prompts = Enumerable.Range(0, 100).Select(index => new PromptSource(settings).Create(index, warmup: false)).ToArray();
        var source = new PromptSource(settings);
        Assert.Equal(prompts, Enumerable.Range(0, 100).Reverse().Select(index => source.Create(index, warmup: false)).Reverse());
        Assert.Equal(100, prompts.Select(prompt => prompt.Text).Distinct().Count());
        Assert.All(prompts, prompt => Assert.InRange(prompt.Text.Split(' ').Length, 5, 50));
        Assert.NotEqual(prompts[0], new PromptSource(settings with { Seed = 2 }).Create(0, warmup: false));
        Assert.NotEqual(prompts[0], source.Create(0, warmup: true));
    }

    [Fact]
    public void Prompts_ShareAsManyPrefixesAsThereAreGroups_AndNoneWithTheWarmup()
    {
        var source = new PromptSource(Settings() with { PrefixGroups = 4, PrefixTokens = 20, PromptTokens = new(10, 10) });
        var prompts = Enumerable.Range(0, 200).Select(index => source.Create(index, warmup: false).Text.Split(' ')).ToArray();
        Assert.All(prompts, words => Assert.Equal(30, words.Length));
        var prefixes = prompts.CountBy(words => string.Join(' ', words[..20])).ToDictionary();
        Assert.Equal(4, prefixes.Count);
        Assert.All(prefixes.Values, count => Assert.InRange(count, 25, 75));
        Assert.Equal(200, prompts.Select(words => string.Join(' ', words[20..])).Distinct().Count());
        Assert.All(Enumerable.Range(0, 20), index => Assert.DoesNotContain(string.Join(' ', source.Create(index, warmup: true).Text.Split(' ')[..20]), prefixes.Keys));
    }

    [Fact]
    public void Prompts_FollowTheTraceInTurn()
    {
        var source = new PromptSource(Settings() with { Trace = [(3, 7), (5, 9)] });
        Assert.Equal([(3, 7), (5, 9), (3, 7)], Enumerable.Range(0, 3).Select(index => source.Create(index, false)).Select(prompt => (prompt.Text.Split(' ').Length, prompt.OutputTokens)));
    }

    [Theory]
    [InlineData("[DONE]", FrameKind.Done)]
    [InlineData("""{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}""", FrameKind.Other)]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}""", FrameKind.Text)]
    [InlineData("""{"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"a"}}]}""", FrameKind.Text)]
    [InlineData("""{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}""", FrameKind.Text)]
    [InlineData("""{"choices":[{"index":0,"text":" a","logprobs":null}]}""", FrameKind.Text)]
    [InlineData("""{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"a","content":"x"}]},"finish_reason":"stop"}]}""", FrameKind.Other)]
    [InlineData("""{"choices":null,"x":{"choices":[{"text":"a"}]}}""", FrameKind.Other)]
    [InlineData("""{"error":{"message":"no"},"choices":[{"text":"a"}]}""", FrameKind.Error)]
    [InlineData("""{"choices":[{"text":"a"}],"error":{"message":"no"}}""", FrameKind.Error)]
    [InlineData("""{"error":null,"choices":[{"text":"a"}]}""", FrameKind.Text)]
    internal void Frame_IsOfItsKind(string data, FrameKind kind) => Assert.Equal(new TokenFrame(kind, null), TokenFrame.Parse("message", Encoding.UTF8.GetBytes(data)));

    [Fact]
    public void Frame_WithUsage_HasTheServersCounts() => Assert.Equal(
        new TokenFrame(FrameKind.Other, new FrameUsage(12, 4, 34)),
        TokenFrame.Parse("message", """{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":4},"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}"""u8));

    [Theory, InlineData("x"), InlineData("[1]"), InlineData("{\"choices\":[")]
    public void Frame_ThatIsNone_IsRefused(string data) => Assert.ThrowsAny<JsonException>(() => TokenFrame.Parse("message", Encoding.UTF8.GetBytes(data)));

    /// <summary>First token 100 ms, then 4 more tokens in 200 ms: 50 ms each, in however many frames they came.</summary>
    [Theory]
    [InlineData(null, null, true)]
    [InlineData(100.0, null, true), InlineData(99.0, null, false)]
    [InlineData(null, 50.0, true), InlineData(null, 49.0, false)]
    [InlineData(100.0, 50.0, true), InlineData(99.0, 50.0, false), InlineData(100.0, 49.0, false)]
    public void Goodput_CountsAnswersWithinAllGoals(double? first, double? next, bool good)
    {
        var settings = Settings() with { SloFirstToken = Milliseconds(first), SloInterToken = Milliseconds(next) };
        var outcome = Outcome(0, first: 100, end: 300, [0.15, 0.05]) with { Usage = new(10, 0, 5) };
        var failed = outcome with { Index = 1, Error = "stream cut off" };
        Assert.Equal((good, false), (LoadResult.IsGood(outcome, settings), LoadResult.IsGood(failed, settings)));
        var result = new LoadResult(settings);
        result.Add(outcome);
        result.Add(failed with { EndToEnd = TimeSpan.FromSeconds(2) });
        Assert.Equal((good ? 1 : 0, good ? 0.5 : 0, good ? 0.5 : 0), (result.Good, result.GoodFraction, result.GoodPerSecond));

        static TimeSpan? Milliseconds(double? value) => value is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null;
    }

    [Fact]
    public void Result_AddsUpWhatCameWhole_AndCountsFailuresByKind()
    {
        var result = new LoadResult(Settings() with { Rows = true });
        result.Add(Outcome(2, first: 10, end: 40, [0.01, 0.02]) with { Due = TimeSpan.FromSeconds(3.96), Usage = new(7, 3, 9) });
        result.Add(Outcome(0, first: 20, end: 20, []));
        result.Add(Outcome(1, first: 5, end: 6, [0.001]) with { Error = "HTTP 429" });
        result.Add(Outcome(3, first: 5, end: 6, []) with { Error = "HTTP 429" });
        Assert.Equal((2, 2, 4), (result.Succeeded, result.Failed, result.Requests));
        Assert.Equal([new("HTTP 429", 2)], result.Errors);
        Assert.Equal((7, 3, 10, 4), (result.PromptTokens, result.CachedTokens, result.CompletionTokens, result.Frames));
        Assert.Equal(TimeSpan.FromSeconds(4), result.Elapsed);
        Assert.Equal((0.5, 2.5), (result.RequestsPerSecond, result.CompletionTokensPerSecond));
        Assert.Equal((2, 2, 2, 4), (result.FirstToken.Count, result.InterToken.Count, result.EndToEnd.Count, result.SentAfter.Count));
        Assert.Equal([0, 1, 2, 3], result.Rows.Select(row => row.Index));
    }

    [Theory]
    [InlineData(0.7, 130, 0.7, 150), InlineData(1, 1, 1, 2), InlineData(0.00001, 20_000, 0.01, 20_000), InlineData(42, 42.5, 40, 80)]
    public void Axis_RunsBetweenRoundValuesAroundWhatIsShown(double min, double max, double from, double to)
    {
        var axis = LogAxis.Over(min, max);
        Assert.Equal((from, to), (Math.Round(axis.From, 6), Math.Round(axis.To, 6)));
        Assert.Equal((0.0, 1.0), (axis.Position(axis.From), axis.Position(axis.To)));
        Assert.Equal(0.5, axis.Position(Math.Sqrt(axis.From * axis.To)), 6);
        Assert.InRange(axis.Ticks().Count(), 2, 8);
        Assert.All(axis.Ticks(), tick => Assert.InRange(tick, axis.From * 0.999, axis.To * 1.001));
    }

    internal static LoadSettings Settings() => new() { Url = new Uri("http://127.0.0.1:8080"), Model = "toy", Concurrency = 1 };

    private static RequestOutcome Outcome(int index, double first, double end, double[] gaps) => new(index, TimeSpan.Zero, TimeSpan.Zero)
    {
        FirstToken = TimeSpan.FromMilliseconds(first),
        EndToEnd = TimeSpan.FromMilliseconds(end),
        Decoding = TimeSpan.FromSeconds(gaps.Sum()),
        Gaps = gaps,
        Frames = gaps.Length + 1,
    };
}

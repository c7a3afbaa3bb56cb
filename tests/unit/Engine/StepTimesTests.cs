using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Scheduling;

namespace Granary.Tests.Unit.Engine;

public sealed class StepTimesTests
{
    [Fact]
    public void Record_StepsInFlight_DecodeIsLatencyAndPrefillThroughput()
    {
        var times = new StepTimes();
        // Two stages of 10 ms each: a step takes 20, and one ends every 10.
        for (var i = 0; i < 5; i++) Record(times, prompt: 0, decoding: 4, elapsed: 20, occupied: 10);
        Record(times, prompt: 100, decoding: 4, elapsed: 120, occupied: 60);

        Assert.Equal(0.020, times.SecondsPerDecodeStep, 1e-9);
        Assert.Equal(0.0005, times.SecondsPerPrefillToken, 1e-9);
    }

    [Fact]
    public void Record_DecodeStepBehindPrompts_IsNoSample()
    {
        var times = new StepTimes();
        Record(times, prompt: 0, decoding: 4, elapsed: 20, occupied: 10);
        Record(times, prompt: 0, decoding: 4, elapsed: 500, occupied: 10, behindPrompts: true);

        Assert.Equal(0.020, times.SecondsPerDecodeStep, 1e-9);
    }

    [Fact]
    public void Record_PromptsAlone_CostAllTheirTime()
    {
        var times = new StepTimes();
        Record(times, prompt: 20, decoding: 0, elapsed: 60, occupied: 60);

        Assert.Equal((0, 0.003), (times.SecondsPerDecodeStep, Math.Round(times.SecondsPerPrefillToken, 9)));
    }

    /// <summary>A cold device's first token takes a second: whoever believed that of each would send nobody there.</summary>
    [Fact]
    public void Record_FewPromptTokens_SayNothingOfOthers()
    {
        var times = new StepTimes();
        Record(times, prompt: 1, decoding: 0, elapsed: 1000, occupied: 1000);
        Assert.Equal((0, 0), (times.SecondsPerPrefillToken, times.SecondsPerPrefillContext));
        Assert.Equal(5, times.Expect(Plan(prompt: 5, decoding: 0)), 1e-9); // But nobody is thought to hang for it.

        Record(times, prompt: 16, decoding: 0, elapsed: 32, occupied: 32);
        Assert.Equal(0.002, times.SecondsPerPrefillToken, 1e-9);
    }

    [Fact]
    public void LongestStepSeconds_AfterManySteps_IsOfTheLast64()
    {
        var times = new StepTimes();
        Record(times, prompt: 0, decoding: 4, elapsed: 900, occupied: 900);
        for (var i = 0; i < 63; i++) Record(times, prompt: 0, decoding: 4, elapsed: 20 + i % 5, occupied: 20);
        Assert.Equal(0.9, times.LongestStepSeconds, 1e-9);

        Record(times, prompt: 0, decoding: 4, elapsed: 20, occupied: 20);
        Assert.Equal(0.024, times.LongestStepSeconds, 1e-9);
    }

    /// <summary>A prompt in chunks: each costs more than the one before, and the fit says by how much.</summary>
    [Fact]
    public void Record_ChunksAtGrowingContext_TellsTokenAndContextApart()
    {
        var fit = new PrefillFit();
        for (var i = 0; i < 16; i++) RecordChunk(fit, 256 * i, 256, perToken: 1e-4, perContext: 2e-8);

        Assert.Equal(1e-4, fit.SecondsPerToken, 1e-9);
        Assert.Equal(2e-8, fit.SecondsPerContext, 1e-12);
    }

    [Fact]
    public void Record_SpeedsChange_FollowsThem()
    {
        var fit = new PrefillFit();
        for (var i = 0; i < 200; i++) RecordChunk(fit, 100 * (i % 20), 50 + i % 7, perToken: 1e-4, perContext: 2e-8);
        for (var i = 0; i < 400; i++) RecordChunk(fit, 100 * (i % 20), 50 + i % 7, perToken: 3e-4, perContext: 1e-8);

        Assert.Equal(3e-4, fit.SecondsPerToken, 1e-7);
        Assert.Equal(1e-8, fit.SecondsPerContext, 1e-10);
    }

    /// <summary>Few samples, or such as are all alike, say nothing about the context: then tokens bear it all.</summary>
    [Theory]
    [InlineData(3, 500)]
    [InlineData(100, 0)]
    public void Record_NothingTellsThemApart_IsThePlainMean(int samples, int apart)
    {
        var fit = new PrefillFit();
        for (var i = 0; i < samples; i++) fit.Record(100, Sequence.ContextOf(i * apart, 100), 0.02);

        Assert.Equal((0.0002, 0), (Math.Round(fit.SecondsPerToken, 12), fit.SecondsPerContext));
    }

    /// <summary>Whatever is measured, no speed is negative or infinite.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Record_Noise_StaysWithinBounds(int seed)
    {
        var random = new Random(seed);
        var fit = new PrefillFit();
        for (var i = 0; i < 2000; i++)
        {
            var tokens = random.Next(1, 2048);
            fit.Record(tokens, Sequence.ContextOf(random.Next(8192), tokens), Math.Pow(10, -6 * random.NextDouble()));
            Assert.InRange(fit.SecondsPerToken, 0, 1);
            Assert.InRange(fit.SecondsPerContext, 0, 1);
            Assert.True(fit.SecondsPerToken + fit.SecondsPerContext > 0);
        }
    }

    private static void RecordChunk(PrefillFit fit, int past, int tokens, double perToken, double perContext)
    {
        var context = Sequence.ContextOf(past, tokens);
        fit.Record(tokens, context, tokens * perToken + context * perContext);
    }

    private static StepPlan Plan(int prompt, int decoding) => new()
    {
        SequenceCount = decoding + (prompt > 0 ? 1 : 0),
        CumulativeSequenceLengths = [.. Enumerable.Range(0, decoding + 1), decoding + prompt],
        PastLengths = [.. Enumerable.Repeat(5, decoding), 0],
    };

    private static void Record(StepTimes times, int prompt, int decoding, int elapsed, int occupied, bool behindPrompts = false)
    {
        times.Record(Plan(prompt, decoding), TimeSpan.FromMilliseconds(elapsed), TimeSpan.FromMilliseconds(occupied), behindPrompts);
    }
}

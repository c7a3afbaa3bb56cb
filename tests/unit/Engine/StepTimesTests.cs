using Granary.Engine;
using Granary.Engine.Execution;

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
        Record(times, prompt: 10, decoding: 0, elapsed: 30, occupied: 30);

        Assert.Equal((0, 0.003), (times.SecondsPerDecodeStep, Math.Round(times.SecondsPerPrefillToken, 9)));
    }

    private static void Record(StepTimes times, int prompt, int decoding, int elapsed, int occupied, bool behindPrompts = false)
    {
        var plan = new StepPlan { SequenceCount = decoding + (prompt > 0 ? 1 : 0) };
        plan.CumulativeSequenceLengths = [.. Enumerable.Range(0, decoding + 1), decoding + prompt];
        plan.PastLengths = [.. Enumerable.Repeat(5, decoding), 0];
        times.Record(plan, TimeSpan.FromMilliseconds(elapsed), TimeSpan.FromMilliseconds(occupied), behindPrompts);
    }
}

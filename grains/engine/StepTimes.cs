using Granary.Engine.Execution;

namespace Granary.Engine;

/// <summary>Smoothed cost of prefill and decode, from measured steps.</summary>
/// <remarks>
/// A step without prompt tokens is a sample of a decode step. In a mixed step what exceeds a decode step is the prompts' cost.
/// Exponential averages: a sample weighs a tenth, so some tens of steps forget what was.
/// </remarks>
internal sealed class StepTimes
{
    private const double Weight = 0.1;

    public double SecondsPerPrefillToken { get; private set; }

    public double SecondsPerDecodeStep { get; private set; }

    public void Record(StepPlan plan, TimeSpan elapsed)
    {
        var (prefill, decoding) = CountTokens(plan);
        if (prefill == 0)
        {
            SecondsPerDecodeStep = Smooth(SecondsPerDecodeStep, elapsed.TotalSeconds);
            return;
        }

        var seconds = elapsed.TotalSeconds - (decoding > 0 ? SecondsPerDecodeStep : 0);
        if (seconds > 0) SecondsPerPrefillToken = Smooth(SecondsPerPrefillToken, seconds / prefill);
    }

    private static (int Prefill, int Decoding) CountTokens(StepPlan plan)
    {
        var (prefill, decoding) = (0, 0);
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            var tokens = plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
            if (tokens == 1 && plan.PastLengths[b] > 0) decoding++;
            else prefill += tokens;
        }

        return (prefill, decoding);
    }

    private static double Smooth(double average, double sample) => average == 0 ? sample : average + Weight * (sample - average);
}

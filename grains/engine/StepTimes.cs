using Granary.Engine.Execution;

namespace Granary.Engine;

/// <summary>Smoothed cost of prefill and decode, from measured steps.</summary>
/// <remarks>
/// A step without prompt tokens, and behind no prompt of another step in flight, is a sample of a decode step as its sequences feel it: from
/// beginning to end. What a prompt costs is what it takes from all others: the time since the step before ended, or since its own beginning
/// where that was later, less such a time of a decode step if it decodes too. With one step in flight both times are the same.
/// Exponential averages: a sample weighs a tenth, so some tens of steps forget what was.
/// </remarks>
internal sealed class StepTimes
{
    private const double Weight = 0.1;

    private double _secondsBetweenDecodeSteps;

    public double SecondsPerPrefillToken { get; private set; }

    public double SecondsPerDecodeStep { get; private set; }

    /// <param name="elapsed">Between the step's beginning and its end.</param>
    /// <param name="occupied">Between the end of the step before, or the step's beginning if that was later, and its end.</param>
    /// <param name="behindPrompts">Whether a step that was in flight when this one began computes prompts.</param>
    public void Record(StepPlan plan, TimeSpan elapsed, TimeSpan occupied, bool behindPrompts)
    {
        var (prefill, decoding) = CountTokens(plan);
        if (prefill == 0)
        {
            if (behindPrompts) return;
            SecondsPerDecodeStep = Smooth(SecondsPerDecodeStep, elapsed.TotalSeconds);
            _secondsBetweenDecodeSteps = Smooth(_secondsBetweenDecodeSteps, occupied.TotalSeconds);
            return;
        }

        var seconds = occupied.TotalSeconds - (decoding > 0 ? _secondsBetweenDecodeSteps : 0);
        if (seconds > 0) SecondsPerPrefillToken = Smooth(SecondsPerPrefillToken, seconds / prefill);
    }

    /// <summary>Whether a step computes tokens of prompts.</summary>
    public static bool HasPrompts(StepPlan plan) => CountTokens(plan).Prefill > 0;

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

using Granary.Engine.Execution;
using Granary.Engine.Scheduling;

namespace Granary.Engine;

/// <summary>Smoothed cost of prefill and decode, from measured steps.</summary>
/// <remarks>
/// A step without prompt tokens, and behind no prompt of another step in flight, is a sample of a decode step as its sequences feel it: from
/// beginning to end. What a prompt costs is what it takes from all others: the time since the step before ended, or since its own beginning
/// where that was later, less such a time of a decode step: what any step takes is no prompt's. With one step in flight both times are the same.
/// Exponential averages: a sample weighs a tenth, so some tens of steps forget what was. What a prompt token costs grows with the tokens
/// before it (<see cref="PrefillFit"/>). A few prompt tokens cost what any step costs, and the first step of an engine far more: what is told
/// of a prompt token is told once a step has had enough of them.
/// </remarks>
internal sealed class StepTimes
{
    private const double Weight = 0.1;
    private const int RecentSteps = 64;

    /// <summary>Prompt tokens from which on they, and not the step itself, are what a step costs.</summary>
    private const int TellingTokens = 16;

    private double _secondsBetweenDecodeSteps;

    private readonly double[] _recent = new double[RecentSteps];
    private PrefillFit _prefill = new();
    private int _recorded;
    private bool _isPrefillMeasured;

    /// <summary>0 until a step with enough prompt tokens was measured.</summary>
    public double SecondsPerPrefillToken => _isPrefillMeasured ? _prefill.SecondsPerToken : 0;

    public double SecondsPerPrefillContext => _isPrefillMeasured ? _prefill.SecondsPerContext : 0;

    public double SecondsPerDecodeStep { get; private set; }

    /// <summary>The longest of the last 64 steps, from its beginning to its end.</summary>
    public double LongestStepSeconds { get; private set; }

    /// <param name="elapsed">Between the step's beginning and its end.</param>
    /// <param name="occupied">Between the end of the step before, or the step's beginning if that was later, and its end.</param>
    /// <param name="behindPrompts">Whether a step that was in flight when this one began computes prompts.</param>
    public void Record(StepPlan plan, TimeSpan elapsed, TimeSpan occupied, bool behindPrompts)
    {
        _recent[_recorded++ % RecentSteps] = elapsed.TotalSeconds;
        LongestStepSeconds = _recent.Max();
        var (prefill, _, context) = CountTokens(plan);
        if (prefill == 0)
        {
            if (behindPrompts) return;
            SecondsPerDecodeStep = Smooth(SecondsPerDecodeStep, elapsed.TotalSeconds);
            _secondsBetweenDecodeSteps = Smooth(_secondsBetweenDecodeSteps, occupied.TotalSeconds);
            return;
        }

        var seconds = occupied.TotalSeconds - _secondsBetweenDecodeSteps;
        if (seconds <= 0) return;
        if (prefill >= TellingTokens && !_isPrefillMeasured) (_prefill, _isPrefillMeasured) = (new(), true);
        _prefill.Record(prefill, context, seconds);
    }

    /// <summary>How long a step should take by all that was measured, be it a single token: a first long prompt is no hung device.</summary>
    public double Expect(StepPlan plan)
    {
        var (prefill, decoding, context) = CountTokens(plan);
        return prefill * _prefill.SecondsPerToken + context * _prefill.SecondsPerContext + (decoding > 0 ? SecondsPerDecodeStep : 0);
    }

    /// <summary>Whether a step computes tokens of prompts.</summary>
    public static bool HasPrompts(StepPlan plan) => CountTokens(plan).Prefill > 0;

    private static (int Prefill, int Decoding, double Context) CountTokens(StepPlan plan)
    {
        var (prefill, decoding, context) = (0, 0, 0.0);
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            var tokens = plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
            if (tokens == 1 && plan.PastLengths[b] > 0) decoding++;
            else
            {
                prefill += tokens;
                context += Sequence.ContextOf(plan.PastLengths[b], tokens);
            }
        }

        return (prefill, decoding, context);
    }

    private static double Smooth(double average, double sample) => average == 0 ? sample : average + Weight * (sample - average);
}

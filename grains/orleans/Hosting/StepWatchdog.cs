using Granary.Engine;
using Granary.Engine.Execution;

namespace Granary.Grains;

/// <summary>Sees that an engine does not come back from a step: progress is health, and nothing else tells of a device that hangs.</summary>
internal static class StepWatchdog
{
    /// <summary>A step may take so many times what the longest of the recent ones took: prompts differ in length, machines in what else they do.</summary>
    private const double Factor = 20;

    /// <summary>A timer's shortest wait, so that one that fires early does not spin.</summary>
    private static readonly TimeSpan ShortestLook = TimeSpan.FromMilliseconds(10);

    /// <summary>How long a step of this engine may take.</summary>
    /// <param name="floor">However short the others were.</param>
    public static TimeSpan LimitOf(EngineLoad load, TimeSpan floor)
    {
        var explained = TimeSpan.FromSeconds(Math.Min(Factor * load.LongestStepSeconds, TimeSpan.MaxValue.TotalSeconds / 2));
        return explained > floor ? explained : floor;
    }

    /// <summary>Half of its limit: nobody would send it more if they had the choice.</summary>
    public static bool IsStalled(EngineLoad load, TimeSpan floor) => TimeSpan.FromSeconds(load.StepAgeSeconds) > LimitOf(load, floor) / 2;

    /// <summary>Completes, with the reason, when a step has run for longer than it may. It looks only when a step that runs now could have become too old.</summary>
    public static async Task<StepFailedException> WhenHungAsync(IInferenceEngine engine, TimeSpan floor, TimeProvider time, CancellationToken cancellationToken)
    {
        while (true)
        {
            var load = engine.Load;
            var limit = LimitOf(load, floor);
            var left = limit - TimeSpan.FromSeconds(load.StepAgeSeconds);
            if (left <= TimeSpan.Zero)
            {
                return new StepFailedException(
                    $"A step has run for {load.StepAgeSeconds:F1} s and does not end; the longest of the recent ones took {load.LongestStepSeconds:F3} s, and {limit.TotalSeconds:F1} s are allowed.");
            }

            await Task.Delay(left > ShortestLook ? left : ShortestLook, time, cancellationToken).ConfigureAwait(false);
        }
    }
}

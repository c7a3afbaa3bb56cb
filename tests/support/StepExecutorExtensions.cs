using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>Steps one at a time, for tests that look at their output.</summary>
public static class StepExecutorExtensions
{
    /// <summary>Begins a step and waits for its end.</summary>
    public static StepResult Execute(this IStepExecutor executor, StepPlan plan)
    {
        executor.Begin(plan);
        var output = executor.End();
        return new(output.Hidden.ToArray(), output.AllLogits(plan));
    }

    /// <summary>A copy of all rows, row-major [S, vocabulary].</summary>
    public static float[] AllLogits(this StepOutput output, StepPlan plan) =>
        [.. Enumerable.Range(0, plan.LogitCount).SelectMany(row => output.Logits(row).ToArray())];
}

/// <summary>A copy of what a step computed.</summary>
/// <param name="Hidden">Row-major [N, hidden].</param>
/// <param name="Logits">Row-major [S, vocabulary].</param>
public sealed record StepResult(float[] Hidden, float[] Logits);

using Granary.Engine.Execution;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Checks a plan before native code sees it: what is out of bounds here would be memory out of bounds there.</summary>
/// <remarks>Block ids are checked by the attention operator, which knows which of them it follows.</remarks>
internal sealed class StepPlanCheck(ExecutorShape shape, int maxTokens, int maxSequences, int maxTableWidth)
{
    /// <exception cref="StepFailedException">Names the field, its value and its bound.</exception>
    public void Check(StepPlan plan)
    {
        Bound(nameof(plan.TokenCount), plan.TokenCount, 1, Math.Min(maxTokens, plan.TokenIds.Length));
        Bound(nameof(plan.SequenceCount), plan.SequenceCount, 1, Math.Min(maxSequences, Math.Min(plan.PastLengths.Length, plan.CumulativeSequenceLengths.Length - 1)));
        Bound(nameof(plan.BlockTableWidth), plan.BlockTableWidth, 1, Math.Min(maxTableWidth, plan.BlockTable.Length / plan.SequenceCount));
        Bound(nameof(plan.HiddenCount), plan.HiddenCount, 0, Math.Min(plan.TokenCount, plan.HiddenRows.Length));
        Bound(nameof(plan.LogitCount), plan.LogitCount, 0, Math.Min(Math.Min(shape.MaxLogitRows, plan.HiddenCount), plan.LogitRows.Length));

        var tokens = plan.TokenIds.AsSpan(0, plan.TokenCount);
        var lastId = shape.VocabularySize - 1;
        if (tokens.IndexOfAnyExceptInRange(0, lastId) is var bad and >= 0) Bound($"{nameof(plan.TokenIds)}[{bad}]", tokens[bad], 0, lastId);
        foreach (var row in plan.HiddenRows.AsSpan(0, plan.HiddenCount)) Bound(nameof(plan.HiddenRows), row, 0, plan.TokenCount - 1);
        foreach (var row in plan.LogitRows.AsSpan(0, plan.LogitCount)) Bound(nameof(plan.LogitRows), row, 0, plan.HiddenCount - 1);

        var cumulative = plan.CumulativeSequenceLengths;
        Bound($"{nameof(plan.CumulativeSequenceLengths)}[0]", cumulative[0], 0, 0);
        Bound($"{nameof(plan.CumulativeSequenceLengths)}[{plan.SequenceCount}]", cumulative[plan.SequenceCount], plan.TokenCount, plan.TokenCount);
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            Bound($"{nameof(plan.CumulativeSequenceLengths)}[{b + 1}]", cumulative[b + 1], cumulative[b] + 1, plan.TokenCount);
            Bound($"{nameof(plan.PastLengths)}[{b}]", plan.PastLengths[b], 0, shape.ContextLength - (cumulative[b + 1] - cumulative[b]));
        }
    }

    private static void Bound(string field, int value, int least, int most)
    {
        if (value < least || value > most) throw new StepFailedException($"The step's {field} is {value}; its bounds are {least} and {most}.");
    }
}

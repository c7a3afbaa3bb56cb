namespace Granary.Engine.Execution;

/// <summary>What a step computed; valid until the next one. The reader may write into it.</summary>
/// <param name="hidden">Row-major [N, hidden]: the states after the final norm, before the head.</param>
/// <param name="logits">Row-major [S, vocabulary].</param>
public readonly ref struct StepOutput(Span<float> hidden, Span<float> logits)
{
    /// <summary>Row-major [N, hidden]: row n belongs to <see cref="StepPlan.HiddenRows"/>[n].</summary>
    public Span<float> Hidden { get; } = hidden;

    /// <summary>Row-major [S, vocabulary]: row s belongs to <see cref="StepPlan.LogitRows"/>[s].</summary>
    public Span<float> Logits { get; } = logits;
}

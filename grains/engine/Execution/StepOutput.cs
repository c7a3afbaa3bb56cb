using Granary.Engine.Sampling;

namespace Granary.Engine.Execution;

/// <summary>What a step computed; valid until the executor's next call. The reader may write into what it gets.</summary>
/// <remarks>Where the vocabulary is spread over ranks, a row or part of it that nobody asked for is fetched: a round trip.</remarks>
public abstract class StepOutput
{
    /// <summary>Row-major [N, hidden]: the states after the final norm, before the head; row n belongs to <see cref="StepPlan.HiddenRows"/>[n].</summary>
    public abstract Span<float> Hidden { get; }

    /// <summary>[vocabulary]: the logits of <see cref="StepPlan.LogitRows"/>[row].</summary>
    /// <exception cref="StepFailedException">They could not be fetched.</exception>
    public abstract Span<float> Logits(int row);

    /// <summary>Says that these columns of the row will be asked for, so that what is far is on its way while other rows are looked at.</summary>
    /// <remarks>Never waits. At most once for each row, before any <see cref="Columns"/> of the step.</remarks>
    public virtual void Expect(int row, int first, int count)
    {
    }

    /// <summary>[count]: some columns of a row, in another memory than the row or in the same; valid until the next call.</summary>
    /// <exception cref="StepFailedException">They could not be fetched.</exception>
    public virtual ReadOnlySpan<float> Columns(int row, int first, int count) => Logits(row).Slice(first, count);

    /// <summary>What was computed of a row instead of all its columns, as <see cref="StepPlan.RowTemperatures"/> wants; null where all are at hand.</summary>
    /// <remarks>Valid until another row's is asked for.</remarks>
    public virtual RowSummary? Summary(int row) => null;
}

/// <summary>What a step computed on one device: all rows at hand.</summary>
/// <param name="hiddenSize">Columns of a hidden state.</param>
/// <param name="vocabularySize">Columns of a row of logits.</param>
public sealed class LocalStepOutput(int hiddenSize, int vocabularySize) : StepOutput
{
    private float[] _hidden = [];
    private float[] _logits = [];
    private int _hiddenLength;
    private int _logitsLength;

    public override Span<float> Hidden => _hidden.AsSpan(0, _hiddenLength);

    /// <summary>Row-major [S, vocabulary].</summary>
    public Span<float> AllLogits => _logits.AsSpan(0, _logitsLength);

    public override Span<float> Logits(int row) => AllLogits.Slice(row * vocabularySize, vocabularySize);

    /// <summary>Makes room for the rows that a plan wants; their content is what it was.</summary>
    public void Reserve(StepPlan plan)
    {
        _hiddenLength = plan.HiddenCount * hiddenSize;
        _logitsLength = plan.LogitCount * vocabularySize;
        if (_hidden.Length < _hiddenLength) _hidden = new float[_hiddenLength];
        if (_logits.Length < _logitsLength) _logits = new float[_logitsLength];
    }
}

using Granary.Engine.Execution;
using Granary.Engine.Sampling;

namespace Granary.Tests.Support;

/// <summary>Gives what plans want of rows of logits and no more, as a replica does whose vocabulary is spread over ranks; counts what is fetched besides.</summary>
/// <param name="firstColumns">Where the ranks' slices begin; the first is 0.</param>
public sealed class SummarizingExecutor(IStepExecutor inner, params int[] firstColumns) : IStepExecutor
{
    private readonly Queue<StepPlan> _begun = new();
    private readonly RowSummarizer _summarizer = new(inner.Shape.VocabularySize);

    public ExecutorShape Shape { get; } = inner.Shape with { Summaries = true };

    /// <summary>Rows that were summarized.</summary>
    public int Summaries { get; private set; }

    /// <summary>Rows that were summarized and then read whole.</summary>
    public int WholeRows { get; private set; }

    /// <summary>Parts of rows that were read.</summary>
    public int Parts { get; private set; }

    /// <summary>Parts of rows that were read though nobody had said so.</summary>
    public int Surprises { get; private set; }

    public void Begin(StepPlan plan)
    {
        inner.Begin(plan);
        var copy = new StepPlan();
        plan.CopyTo(copy);
        _begun.Enqueue(copy);
    }

    public StepOutput End() => new Output(this, _begun.Dequeue(), inner.End());

    public void Dispose() => inner.Dispose();

    private RowSummary Summarize(ReadOnlySpan<float> row, float temperature)
    {
        var slices = new RowSummary[firstColumns.Length];
        for (var rank = 0; rank < slices.Length; rank++)
        {
            var (start, end) = (firstColumns[rank], rank + 1 < slices.Length ? firstColumns[rank + 1] : row.Length);
            _summarizer.Summarize(row[start..end], start, temperature, slices[rank] = new());
        }

        var merged = new RowSummary();
        merged.Merge(slices);
        return merged;
    }

    private sealed class Output(SummarizingExecutor owner, StepPlan plan, StepOutput whole) : StepOutput
    {
        private readonly HashSet<int> _summarized = [];
        private readonly HashSet<(int Row, int First, int Count)> _expected = [];

        public override Span<float> Hidden => whole.Hidden;

        public override void Expect(int row, int first, int count) => _expected.Add((row, first, count));

        public override Span<float> Logits(int row)
        {
            if (plan.RowTemperatures[row] == RowWants.Whole) return whole.Logits(row);
            owner.WholeRows++;
            return whole.Logits(row);
        }

        public override ReadOnlySpan<float> Columns(int row, int first, int count)
        {
            owner.Parts++;
            if (!_expected.Contains((row, first, count))) owner.Surprises++;
            return whole.Columns(row, first, count).ToArray();
        }

        public override RowSummary? Summary(int row)
        {
            if (plan.RowTemperatures[row] == RowWants.Whole) return null;
            if (_summarized.Add(row)) owner.Summaries++;
            return owner.Summarize(whole.Logits(row), plan.RowTemperatures[row]);
        }
    }
}

using Granary.Engine.Execution;

namespace Granary.Engine.Sampling;

/// <summary>Chooses tokens from rows of logits: a pure function of row, parameters, prompt and output ids, and choice.</summary>
/// <remarks>
/// The position of a draw is the number of tokens generated before it, and its randomness is <see cref="Philox"/> of (seed, choice,
/// position): so what shares a step with a sequence, and whether it was preempted or replayed, makes no difference.
/// The fields are scratch memory for one thread, and carry nothing from call to call.
/// </remarks>
internal sealed class Sampler(int vocabularySize)
{
    /// <summary>Lower temperatures are greedy: dividing by them says no more and overflows.</summary>
    public const float LeastTemperature = 1e-5f;

    private readonly LogitEdits _edits = new(vocabularySize);
    private readonly Candidates _candidates = new(vocabularySize);
    private readonly float[] _blockMaxima = new float[RowMath.BlocksOf(vocabularySize)];
    private readonly double[] _blockSums = new double[RowMath.BlocksOf(vocabularySize)];

    /// <summary>What of a row a request needs: one of <see cref="RowWants"/>, or a summary at a temperature.</summary>
    /// <param name="generated">Tokens generated so far.</param>
    public static float WantOf(SamplingParameters parameters, int generated)
    {
        var isWhole = parameters is not { TopLogprobs: null, LogitBias: null or { Count: 0 }, RepetitionPenalty: 1, PresencePenalty: 0, FrequencyPenalty: 0 }
            || generated < parameters.MinTokens;
        if (isWhole) return RowWants.Whole;
        if (parameters.Temperature < LeastTemperature) return RowWants.Highest;
        return parameters.TopK <= RowSummary.MaxCandidates ? parameters.Temperature : RowWants.Whole;
    }

    /// <summary>Lets the step's output fetch what <see cref="Sample(StepOutput, int, SamplingParameters, ReadOnlySpan{int}, ReadOnlySpan{int}, int, int)"/> will ask for beyond a summary, as far as that is known.</summary>
    /// <param name="generated">Tokens generated so far.</param>
    public void Expect(StepOutput step, int logitRow, SamplingParameters parameters, int generated, int choice)
    {
        if (WantOf(parameters, generated) is RowWants.Whole or RowWants.Highest) return;
        var filters = DrawFilters.Of(parameters, vocabularySize);
        if (!filters.KeepAll || step.Summary(logitRow) is not { BestColumn: >= 0 } summary || !float.IsFinite(summary.Best)) return;

        if (summary.BlockCount == 0)
        {
            step.Expect(logitRow, 0, vocabularySize);
            return;
        }

        var (first, count) = ColumnsOf(FindBlock(summary, filters, Philox.Uniform(parameters.Seed, choice, generated), out _));
        step.Expect(logitRow, first, count);
    }

    /// <summary>Chooses from a summary where there is one and it suffices, and from the row where not: the same token either way.</summary>
    /// <param name="logitRow">In the step's output.</param>
    /// <inheritdoc cref="Sample(Span{float}, SamplingParameters, ReadOnlySpan{int}, ReadOnlySpan{int}, int, int)"/>
    public SampledToken Sample(
        StepOutput step, int logitRow, SamplingParameters parameters, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output, int choice, int row)
    {
        if (step.Summary(logitRow) is { } summary && WantOf(parameters, output.Length) != RowWants.Whole)
        {
            Check(summary.BestColumn, summary.Best, row);
            if (parameters.Temperature < LeastTemperature) return new(summary.BestColumn);
            var uniform = Philox.Uniform(parameters.Seed, choice, output.Length);
            if (summary.Temperature == parameters.Temperature && TryDraw(step, logitRow, summary, parameters, uniform) is { } token) return new(token);
        }

        return Sample(step.Logits(logitRow), parameters, prompt, output, choice, row);
    }

    /// <param name="logits">[vocabulary]; bias and penalties are written into it.</param>
    /// <param name="row">Which sampled row of the step this is; for the message of an error.</param>
    /// <exception cref="StepFailedException">The row has no finite maximum, or a NaN: the step's results are garbage.</exception>
    public SampledToken Sample(
        Span<float> logits, SamplingParameters parameters, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output, int choice, int row)
    {
        _edits.Apply(logits, parameters, prompt, output);
        var best = RowMath.ArgMax(logits, out var max, _blockMaxima);
        Check(best, max, row);
        var token = parameters.Temperature < LeastTemperature
            ? best
            : Draw(logits, max, parameters, Philox.Uniform(parameters.Seed, choice, output.Length));
        var logprobs = parameters.TopLogprobs is { } top ? Logprobs(logits, max, token, top) : null;
        return new(token, logprobs);
    }

    /// <summary>How likely a given token is, and which are likelier, by the logits as they are.</summary>
    /// <param name="logits">[vocabulary].</param>
    /// <param name="position">Of the row in its prompt; for the message of an error.</param>
    /// <exception cref="StepFailedException">The row has no finite maximum, or a NaN.</exception>
    public LogprobRow Score(ReadOnlySpan<float> logits, int token, int top, int position)
    {
        var best = RowMath.ArgMax(logits, out var max, _blockMaxima);
        if (best < 0) throw new StepFailedException($"Prompt position {position} has a logit that is not a number.");
        if (!float.IsFinite(max)) throw new StepFailedException($"Prompt position {position} has {max} as its highest logit.");
        return Logprobs(logits, max, token, top);
    }

    private static void Check(int best, float max, int row)
    {
        if (best < 0) throw new StepFailedException($"Sampled row {row} has a logit that is not a number.");
        if (!float.IsFinite(max)) throw new StepFailedException($"Sampled row {row} has {max} as its highest logit.");
    }

    private int Draw(ReadOnlySpan<float> logits, float max, SamplingParameters parameters, double uniform)
    {
        var filters = DrawFilters.Of(parameters, vocabularySize);
        if (!filters.KeepAll && !filters.NeedTotal) return _candidates.Draw(logits, max, 0, filters, uniform);

        RowMath.BlockSums(logits, _blockMaxima, filters.Scale, _blockSums);
        var total = RowMath.Total(_blockMaxima, _blockSums, max, filters.Scale);
        if (!filters.KeepAll) return _candidates.Draw(logits, max, total, filters, uniform);

        var block = FindBlock(_blockMaxima, _blockSums, max, filters.Scale, uniform * total, out var rest);
        var (first, count) = ColumnsOf(block);
        return first + DrawFromBlock(logits.Slice(first, count), _blockMaxima[block], filters.Scale, rest);
    }

    /// <returns>Null when the summary does not tell.</returns>
    private int? TryDraw(StepOutput step, int logitRow, RowSummary summary, SamplingParameters parameters, double uniform)
    {
        var filters = DrawFilters.Of(parameters, vocabularySize);
        if (!filters.KeepAll && !filters.NeedTotal) return _candidates.TryDraw(summary, 0, filters, uniform);
        if (summary.BlockCount == 0) return null;

        if (!filters.KeepAll)
        {
            var total = RowMath.Total(summary.BlockMaxima, summary.BlockSums, summary.Best, filters.Scale);
            return _candidates.TryDraw(summary, total, filters, uniform);
        }

        var block = FindBlock(summary, filters, uniform, out var rest);
        var (first, count) = ColumnsOf(block);
        var max = summary.BlockMaxima[block];
        return first + DrawFromBlock(step.Columns(logitRow, first, count), max, filters.Scale, rest);
    }

    private (int First, int Count) ColumnsOf(int block) =>
        (block * RowMath.BlockColumns, Math.Min(RowMath.BlockColumns, vocabularySize - block * RowMath.BlockColumns));

    private static int FindBlock(RowSummary summary, DrawFilters filters, double uniform, out double rest)
    {
        var total = RowMath.Total(summary.BlockMaxima, summary.BlockSums, summary.Best, filters.Scale);
        return FindBlock(summary.BlockMaxima, summary.BlockSums, summary.Best, filters.Scale, uniform * total, out rest);
    }

    /// <param name="rest">What is left of the target in the block, by the block's own weights.</param>
    /// <returns>The block in which the sum of all weights passes the target.</returns>
    private static int FindBlock(
        ReadOnlySpan<float> maxima, ReadOnlySpan<double> sums, float max, float scale, double target, out double rest)
    {
        var block = -1;
        double before = 0;
        rest = 0;
        for (var b = 0; b < sums.Length; b++)
        {
            var factor = RowMath.BlockFactor(maxima[b], max, scale);
            var sum = sums[b] * factor;
            if (sum == 0) continue;
            block = b; // The last one also answers for what rounding leaves of the target.
            rest = (target - before) / factor;
            before += sum;
            if (before > target) break;
        }

        return block;
    }

    private static int DrawFromBlock(ReadOnlySpan<float> columns, float max, float scale, double target)
    {
        Span<float> weights = stackalloc float[RowMath.BlockColumns];
        RowMath.Weights(columns, max, scale, weights);
        var drawn = -1;
        double before = 0;
        for (var i = 0; i < columns.Length; i++)
        {
            if (weights[i] == 0) continue;
            drawn = i;
            before += weights[i];
            if (before > target) break;
        }

        return drawn;
    }

    private LogprobRow Logprobs(ReadOnlySpan<float> logits, float max, int token, int count)
    {
        RowMath.BlockSums(logits, _blockMaxima, 1, _blockSums);
        var logOfSum = max + Math.Log(RowMath.Total(_blockMaxima, _blockSums, max, 1));
        Span<int> ids = stackalloc int[count];
        var found = 0;
        for (var id = 0; id < logits.Length && count > 0; id++)
        {
            var logit = logits[id];
            if (found == count && logit <= logits[ids[found - 1]]) continue; // Equal ones come later, so their ids are higher.
            if (float.IsNegativeInfinity(logit)) continue;

            var place = found < count ? found++ : found - 1;
            for (; place > 0 && logits[ids[place - 1]] < logit; place--) ids[place] = ids[place - 1];
            ids[place] = id;
        }

        var top = new float[found];
        for (var i = 0; i < found; i++) top[i] = (float)(logits[ids[i]] - logOfSum);
        return new((float)(logits[token] - logOfSum), ids[..found].ToArray(), top);
    }
}

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
    private readonly float[] _weights = new float[vocabularySize];
    private readonly double[] _blockSums = new double[(vocabularySize + RowMath.BlockColumns - 1) / RowMath.BlockColumns];

    /// <param name="logits">[vocabulary]; bias and penalties are written into it.</param>
    /// <param name="row">Which sampled row of the step this is; for the message of an error.</param>
    /// <exception cref="StepFailedException">The row has no finite maximum, or a NaN: the step's results are garbage.</exception>
    public SampledToken Sample(
        Span<float> logits, SamplingParameters parameters, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output, int choice, int row)
    {
        _edits.Apply(logits, parameters, prompt, output);
        var best = RowMath.ArgMax(logits, out var max);
        if (best < 0) throw new StepFailedException($"Sampled row {row} has a logit that is not a number.");
        if (!float.IsFinite(max)) throw new StepFailedException($"Sampled row {row} has {max} as its highest logit.");

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
        var best = RowMath.ArgMax(logits, out var max);
        if (best < 0) throw new StepFailedException($"Prompt position {position} has a logit that is not a number.");
        if (!float.IsFinite(max)) throw new StepFailedException($"Prompt position {position} has {max} as its highest logit.");
        return Logprobs(logits, max, token, top);
    }

    private int Draw(ReadOnlySpan<float> logits, float max, SamplingParameters parameters, double uniform)
    {
        var total = RowMath.Weights(logits, max, 1 / parameters.Temperature, _weights, _blockSums);
        if (parameters is { TopK: 0, TopP: 1, MinP: 0 }) return DrawFromAll(logits.Length, uniform * total);

        var kept = _candidates.Select(logits, _weights, total, max, parameters);
        double mass = 0;
        foreach (var id in kept) mass += _weights[id];

        var target = uniform * mass;
        double sum = 0;
        var token = -1;
        foreach (var id in kept)
        {
            if (_weights[id] == 0) continue;
            token = id; // The last one also answers for what rounding leaves of the target.
            sum += _weights[id];
            if (sum > target) break;
        }

        return token;
    }

    private int DrawFromAll(int length, double target)
    {
        double before = 0;
        var block = 0;
        for (var b = 0; b < _blockSums.Length; b++)
        {
            if (_blockSums[b] == 0) continue;
            block = b;
            if (before + _blockSums[b] > target) break;
            before += _blockSums[b];
        }

        var start = block * RowMath.BlockColumns;
        var end = Math.Min(start + RowMath.BlockColumns, length);
        var token = -1;
        for (var id = start; id < end; id++)
        {
            if (_weights[id] == 0) continue;
            token = id;
            before += _weights[id];
            if (before > target) break;
        }

        return token;
    }

    private LogprobRow Logprobs(ReadOnlySpan<float> logits, float max, int token, int count)
    {
        var logOfSum = max + Math.Log(RowMath.Weights(logits, max, 1, _weights, _blockSums));
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

namespace Granary.Engine.Sampling;

/// <summary>The tokens that survive top-k, top-p and min-p, found by partial selection instead of a sort.</summary>
/// <remarks>Better means a higher logit, or among equals the lower id: a strict order, so each filter keeps a definite set.</remarks>
internal sealed class Candidates(int vocabularySize)
{
    /// <summary>How far below the highest scaled logit candidates are first looked for; wider only if they do not suffice.</summary>
    private static ReadOnlySpan<float> Depths => [6, 12, 24];

    private readonly int[] _ids = new int[vocabularySize];

    /// <summary>Ids of the kept tokens, in no particular but always the same order.</summary>
    /// <param name="weights">exp((logit - max) / temperature); the highest is 1.</param>
    /// <param name="total">The sum of all weights.</param>
    public ReadOnlySpan<int> Select(
        ReadOnlySpan<float> logits, ReadOnlySpan<float> weights, double total, float max, SamplingParameters parameters)
    {
        var k = parameters.TopK > 0 && parameters.TopK < logits.Length ? parameters.TopK : 0;
        var count = Gather(logits, weights, total, max, parameters, k);
        if (k > 0 && count > k)
        {
            SelectBest(logits, count, k);
            count = k;
        }

        if (parameters.TopP < 1)
        {
            var mass = k > 0 ? Mass(weights, 0, count) : total;
            count = SelectMass(logits, weights, count, parameters.TopP * mass);
        }

        if (parameters.MinP > 0)
        {
            var kept = 0;
            for (var i = 0; i < count; i++)
            {
                if (weights[_ids[i]] >= parameters.MinP) _ids[kept++] = _ids[i];
            }

            count = kept;
        }

        return _ids.AsSpan(0, count);
    }

    private int Gather(
        ReadOnlySpan<float> logits, ReadOnlySpan<float> weights, double total, float max, SamplingParameters parameters, int k)
    {
        foreach (var depth in Depths)
        {
            var count = RowMath.AtLeast(logits, max - depth * parameters.Temperature, _ids);
            var enough = k > 0 ? count >= k
                : parameters.TopP < 1 ? Mass(weights, 0, count) >= parameters.TopP * total
                : MathF.Exp(-depth) < 0.5f * parameters.MinP;
            if (enough) return count;
        }

        return RowMath.AtLeast(logits, float.MinValue, _ids);
    }

    private double Mass(ReadOnlySpan<float> weights, int start, int end)
    {
        double sum = 0;
        for (var i = start; i < end; i++) sum += weights[_ids[i]];
        return sum;
    }

    /// <summary>Moves the k best to the front.</summary>
    private void SelectBest(ReadOnlySpan<float> logits, int count, int k)
    {
        var (low, high) = (0, count);
        while (high - low > 1)
        {
            var middle = Partition(logits, low, high);
            if (middle == k || middle == k - 1) return;
            if (middle > k) high = middle;
            else low = middle + 1;
        }
    }

    /// <summary>Moves the fewest best whose weights reach the target to the front.</summary>
    /// <returns>How many, at least one.</returns>
    private int SelectMass(ReadOnlySpan<float> logits, ReadOnlySpan<float> weights, int count, double target)
    {
        var (low, high) = (0, count);
        double before = 0;
        while (low < high)
        {
            var middle = Partition(logits, low, high);
            var better = before + Mass(weights, low, middle);
            if (better >= target)
            {
                high = middle;
                continue;
            }

            before = better + weights[_ids[middle]];
            low = middle + 1;
            if (before >= target) return low;
        }

        return high;
    }

    /// <summary>Splits [low, high) into better ones, a pivot and worse ones.</summary>
    /// <returns>Where the pivot is.</returns>
    private int Partition(ReadOnlySpan<float> logits, int low, int high)
    {
        var last = high - 1;
        Swap(low + (high - low) / 2, last);
        var pivot = _ids[last];
        var pivotLogit = logits[pivot];
        var middle = low;
        for (var i = low; i < last; i++)
        {
            var id = _ids[i];
            var logit = logits[id];
            if (logit > pivotLogit || (logit == pivotLogit && id < pivot)) Swap(i, middle++);
        }

        Swap(middle, last);
        return middle;
    }

    private void Swap(int a, int b) => (_ids[a], _ids[b]) = (_ids[b], _ids[a]);
}

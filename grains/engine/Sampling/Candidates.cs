namespace Granary.Engine.Sampling;

/// <summary>The tokens that survive top-k, top-p and min-p, found by partial selection instead of a sort, and the draw among them.</summary>
/// <remarks>
/// A token that is drawn depends on the surviving set only, which is walked in ascending order of ids, not on where its members came from:
/// a row and a summary of it give the same one. Masses of top-p are added in fixed point, where order makes no difference.
/// </remarks>
internal sealed class Candidates(int vocabularySize)
{
    /// <summary>A weight of 1: some millions of them fit a sum.</summary>
    private const double One = 1L << 40;

    /// <summary>Candidates of like weights are looked at together.</summary>
    private const int Bins = 128;

    private readonly int[] _ids = new int[vocabularySize]; // Ascending.
    private readonly float[] _logits = new float[vocabularySize];
    private readonly float[] _weights = new float[vocabularySize]; // exp((logit - max) / temperature); the highest is 1.
    private readonly int[] _places = new int[vocabularySize]; // Into the other three.
    private readonly long[] _masses = new long[Bins];
    private int _count;

    /// <param name="total">The sum of all weights of the row, where <see cref="DrawFilters.NeedTotal"/>.</param>
    /// <param name="uniform">In [0, 1).</param>
    public int Draw(ReadOnlySpan<float> row, float max, double total, DrawFilters filters, double uniform)
    {
        // How far below the highest scaled logit they are looked for: wider only if they do not suffice; then, what is left out weighs less than top-p cuts off.
        Span<float> depths = [6, 12, filters.NeedTotal ? Math.Max(12, (float)Math.Log(row.Length / ((1 - filters.TopP) * total))) : 24];
        foreach (var depth in depths)
        {
            Gather(row, max - depth * filters.Temperature, max, filters.Scale);
            var enough = filters.NeedTotal ? Reach(Target(filters, total))
                : filters.K > 0 ? _count >= filters.K
                : MathF.Exp(-depth) < 0.5f * filters.MinP;
            if (enough) return Draw(total, filters, uniform);
        }

        Gather(row, float.MinValue, max, filters.Scale);
        if (filters.NeedTotal) Reach(Target(filters, total));
        return Draw(total, filters, uniform);
    }

    /// <returns>What <see cref="Draw(ReadOnlySpan{float}, float, double, DrawFilters, double)"/> gives; null where the summary does not tell.</returns>
    public int? TryDraw(RowSummary summary, double total, DrawFilters filters, double uniform)
    {
        _count = summary.CandidateCount;
        summary.CandidateColumns.CopyTo(_ids);
        summary.CandidateLogits.CopyTo(_logits);
        RowMath.Weights(_logits.AsSpan(0, _count), summary.Best, filters.Scale, _weights);
        var enough = filters.NeedTotal ? Reach(Target(filters, total))
            : filters.K > 0 ? _count >= filters.K
            : _weights.AsSpan(0, _count).ContainsAnyInRange(0, 0.999f * filters.MinP);
        enough |= _count < RowSummary.MaxCandidates; // Then they are all that there are.
        return enough ? Draw(total, filters, uniform) : null;
    }

    private void Gather(ReadOnlySpan<float> row, float least, float max, float scale)
    {
        _count = RowMath.AtLeast(row, least, _ids);
        for (var i = 0; i < _count; i++) _logits[i] = row[_ids[i]];
        RowMath.Weights(_logits.AsSpan(0, _count), max, scale, _weights);
    }

    private int Draw(double total, DrawFilters filters, double uniform)
    {
        Filter(total, filters);
        double mass = 0;
        for (var i = 0; i < _count; i++) mass += _weights[i];

        var target = uniform * mass;
        double sum = 0;
        var token = -1;
        for (var i = 0; i < _count; i++)
        {
            if (_weights[i] == 0) continue;
            token = _ids[i]; // The last one also answers for what rounding leaves of the target.
            sum += _weights[i];
            if (sum > target) break;
        }

        return token;
    }

    /// <summary>Leaves those that survive, in ascending order.</summary>
    private void Filter(double total, DrawFilters filters)
    {
        var worst = filters.NeedTotal ? WorstOfMass(Target(filters, total)) : WorstOfBest(filters);
        var worstLogit = worst < 0 ? float.MinValue : _logits[worst];
        if (worst < 0) worst = _count;
        var kept = 0;
        for (var i = 0; i < _count; i++)
        {
            // The logits stay: they are compared by place. No branches: they would be anyone's guess.
            var isKept = _weights[i] >= filters.MinP & (_logits[i] > worstLogit | (_logits[i] == worstLogit & i <= worst));
            (_ids[kept], _weights[kept]) = (_ids[i], _weights[i]);
            kept += isKept ? 1 : 0;
        }

        _count = kept;
    }

    /// <returns>The place of the worst that top-k, and top-p of what it leaves, keep; -1 when they keep all.</returns>
    private int WorstOfBest(DrawFilters filters)
    {
        if (filters.K == 0) return -1;
        var best = Math.Min(filters.K, _count);
        Selection.Number(_places.AsSpan(0, _count));
        if (best < _count) Selection.Best(_places.AsSpan(0, _count), _logits, best);
        if (filters.TopP < 1) best = SelectMass(best, Math.Max(1, (long)(filters.TopP * (double)Mass(0, best))));
        return Selection.Worst(_places.AsSpan(0, best), _logits);
    }

    /// <summary>Adds the weights of all candidates up, by bins.</summary>
    /// <returns>Whether they reach the target.</returns>
    private bool Reach(long target)
    {
        Array.Clear(_masses);
        for (var i = 0; i < _count; i++) _masses[Bin(_weights[i])] += Fixed(_weights[i]);
        long sum = 0;
        foreach (var mass in _masses) sum += mass;
        return sum >= target;
    }

    /// <summary>After <see cref="Reach"/>.</summary>
    /// <returns>The place of the worst of the fewest best whose weights reach the target; -1 when all of them do not.</returns>
    private int WorstOfMass(long target)
    {
        var bin = 0;
        while (_masses[bin] < target)
        {
            target -= _masses[bin];
            if (++bin == Bins) return -1;
        }

        var count = 0;
        for (var i = 0; i < _count; i++)
        {
            _places[count] = i;
            count += Bin(_weights[i]) == bin ? 1 : 0;
        }

        return Selection.Worst(_places.AsSpan(0, SelectMass(count, target)), _logits);
    }

    /// <summary>By the weight's exponent and its first bit: better candidates are in no later bin.</summary>
    private static int Bin(float weight) => Math.Min(((127 << 1) + 1) - (int)(BitConverter.SingleToUInt32Bits(weight) >> 22), Bins - 1);

    /// <summary>Moves the fewest best of the places whose weights reach the target to the front.</summary>
    /// <returns>How many, at least one.</returns>
    private int SelectMass(int count, long target)
    {
        var (low, high) = (0, count);
        long before = 0;
        while (low < high)
        {
            var middle = Selection.Partition(_places, _logits, low, high);
            var better = before + Mass(low, middle);
            if (better >= target)
            {
                high = middle;
                continue;
            }

            before = better + Fixed(_weights[_places[middle]]);
            low = middle + 1;
            if (before >= target) return low;
        }

        return high;
    }

    /// <summary>The sum of the weights at some of the places.</summary>
    private long Mass(int start, int end)
    {
        long sum = 0;
        for (var i = start; i < end; i++) sum += Fixed(_weights[_places[i]]);
        return sum;
    }

    private static long Target(DrawFilters filters, double total) => Math.Max(1, (long)(filters.TopP * total * One));

    private static long Fixed(float weight) => (long)(weight * One);
}

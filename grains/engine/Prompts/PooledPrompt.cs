using Granary.Engine.Execution;
using Granary.Engine.Sampling;

namespace Granary.Engine.Prompts;

/// <summary>Pools hidden states into one vector.</summary>
/// <remarks>States are added in double precision, position by position: the sum is the same bits however the prompt was cut.</remarks>
internal sealed class PooledPrompt(Pooling pooling, int tokens) : PromptReading(pooling == Pooling.Mean ? 0 : tokens - 1, tokens)
{
    private readonly int _positions = pooling == Pooling.Mean ? tokens : 1;
    private double[] _sum = [];
    private float[] _vector = [];

    public override bool NeedsLogits => false;

    public override PromptOutput Finish() => new(null, _vector);

    protected override void Read(int position, ReadOnlySpan<float> row, Sampler sampler)
    {
        if (_sum.Length == 0) _sum = new double[row.Length];
        for (var i = 0; i < row.Length; i++) _sum[i] += row[i];
        if (position == End - 1) _vector = Divide();
    }

    private float[] Divide()
    {
        var vector = new float[_sum.Length];
        for (var i = 0; i < vector.Length; i++)
        {
            vector[i] = (float)(_sum[i] / _positions);
            if (!float.IsFinite(vector[i])) throw new StepFailedException($"Component {i} of a pooled hidden state is {vector[i]}.");
        }

        return vector;
    }
}

using Granary.Engine.Execution;

namespace Granary.Sharding.Steps;

/// <summary>The reducer that an executor is opened with, before there are links to reduce over.</summary>
public sealed class RankReducerSlot : IRankReducer
{
    private volatile IRankReducer? _reducer;

    /// <summary>Sums go over these links from now on.</summary>
    public void Join(IRankReducer reducer) => _reducer = reducer;

    /// <exception cref="StepFailedException">No ranks have been joined, or as theirs.</exception>
    public void AllReduce(Span<float> values, int columns)
    {
        if (_reducer is not { } reducer) throw new StepFailedException("A step ran before the ranks of its stage were joined.");
        reducer.AllReduce(values, columns);
    }
}

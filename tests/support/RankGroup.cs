using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>The ranks of one stage in one process: each adds up what all of them brought, in the order of ranks.</summary>
public sealed class RankGroup
{
    private readonly object _gate = new();
    private readonly float[][] _brought;
    private readonly int[] _columns;
    private int _arrived;
    private long _meeting;
    private Exception? _lost;

    public RankGroup(int ranks)
    {
        _brought = new float[ranks][];
        _columns = new int[ranks];
        Reducers = [.. Enumerable.Range(0, ranks).Select(rank => new Reducer(this, rank))];
    }

    /// <summary>[ranks].</summary>
    public IReadOnlyList<IRankReducer> Reducers { get; }

    /// <summary>Sums so far, counted by rank 0.</summary>
    public long Sums { get; private set; }

    /// <summary>A rank of the replica fails: all of this stage get it at their next sum, or from the one they are waiting in.</summary>
    public void Lose(Exception cause)
    {
        lock (_gate)
        {
            _lost ??= cause;
            Monitor.PulseAll(_gate);
        }
    }

    private void AllReduce(int rank, Span<float> values, int columns)
    {
        (_brought[rank], _columns[rank]) = (values.ToArray(), columns);
        Meet();
        foreach (var other in _brought)
        {
            if (other.Length != values.Length) throw new StepFailedException($"Rank {rank} brought {values.Length} values, another {other.Length}.");
        }

        if (_columns.Any(other => other != columns)) throw new StepFailedException($"Rank {rank} brought {columns} columns, the ranks {string.Join(", ", _columns)}.");
        for (var i = 0; i < values.Length; i++)
        {
            var sum = _brought[0][i];
            for (var other = 1; other < _brought.Length; other++) sum += _brought[other][i];
            values[i] = sum;
        }

        if (rank == 0) Sums++;
        Meet();
    }

    /// <summary>Waits until all ranks have come.</summary>
    private void Meet()
    {
        lock (_gate)
        {
            var meeting = _meeting;
            if (++_arrived == _brought.Length)
            {
                (_arrived, _meeting) = (0, meeting + 1);
                Monitor.PulseAll(_gate);
            }

            while (_meeting == meeting && _lost is null) Monitor.Wait(_gate);
            if (_lost is { } cause) throw new StepFailedException($"A rank is lost: {cause.Message}", cause);
        }
    }

    private sealed class Reducer(RankGroup group, int rank) : IRankReducer
    {
        public void AllReduce(Span<float> values, int columns) => group.AllReduce(rank, values, columns);
    }
}

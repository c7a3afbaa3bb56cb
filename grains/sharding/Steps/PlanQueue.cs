using Granary.Engine.Execution;

namespace Granary.Sharding.Steps;

/// <summary>Plans that have come and not been run: a ring of reused plans between the thread that reads them and the one that runs them.</summary>
internal sealed class PlanQueue
{
    private readonly object _gate = new();
    private readonly StepPlan[] _plans;
    private long _written;
    private long _taken;
    private long _released;
    private bool _closed;

    /// <param name="capacity">Plans that may be under way. A step's place may be given back after the engine saw its end: one more is kept.</param>
    public PlanQueue(int capacity)
    {
        _plans = new StepPlan[capacity + 1];
        for (var i = 0; i < _plans.Length; i++) _plans[i] = new();
    }

    /// <summary>The next plan to write; null when all are taken.</summary>
    public StepPlan? Free()
    {
        lock (_gate) return _written - _released == _plans.Length ? null : _plans[_written % _plans.Length];
    }

    /// <summary>Lets the plan that was written run.</summary>
    public void Add()
    {
        lock (_gate)
        {
            _written++;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Waits for the next plan; it is the caller's until <see cref="Release"/>.</summary>
    /// <returns>Null when the queue is closed.</returns>
    public StepPlan? Take()
    {
        lock (_gate)
        {
            while (_taken == _written && !_closed) Monitor.Wait(_gate);
            return _closed ? null : _plans[_taken++ % _plans.Length];
        }
    }

    /// <summary>Gives the oldest plan taken back.</summary>
    public void Release()
    {
        lock (_gate) _released++;
    }

    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.PulseAll(_gate);
        }
    }
}

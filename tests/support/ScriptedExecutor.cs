using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>An executor under a test's control: it can be held before a step runs, made to fail, and asked what it was given.</summary>
public sealed class ScriptedExecutor(IStepExecutor inner) : IStepExecutor
{
    private readonly object _gate = new();
    private readonly List<(long Step, TaskCompletionSource Reached)> _waiters = [];
    private readonly Queue<StepPlan> _begun = new();
    private bool _held;
    private long _entered;
    private long _stepsAllowed;

    public ExecutorShape Shape => inner.Shape;

    public IKvBlockStore? BlockStore => inner.BlockStore;

    public Task? Lost { get; set; }

    /// <summary>Called with each plan as it begins, on the engine's thread; what it throws is the beginning's failure.</summary>
    public Action<StepPlan>? BeforeBegin { get; set; }

    /// <summary>Called with each plan before it runs, on the engine's thread; what it throws is the step's failure.</summary>
    public Action<StepPlan>? BeforeStep { get; set; }

    /// <summary>Called with each plan and its output after it ran; it may change that.</summary>
    public Action<StepPlan, StepOutput>? AfterStep { get; set; }

    public bool IsDisposed { get; private set; }

    /// <summary>Lets no further step run.</summary>
    public void Hold()
    {
        lock (_gate) (_held, _stepsAllowed) = (true, 0);
    }

    /// <summary>Lets some more steps through while held.</summary>
    public void Allow(int steps)
    {
        lock (_gate)
        {
            _stepsAllowed += steps;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Lets steps run freely.</summary>
    public void Release()
    {
        lock (_gate)
        {
            _held = false;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Completes when the engine has asked for the n-th step, held or not; n counts from 1.</summary>
    public Task StepReached(long step)
    {
        lock (_gate)
        {
            if (_entered >= step) return Task.CompletedTask;
            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((step, reached));
            return reached.Task;
        }
    }

    public void Begin(StepPlan plan)
    {
        BeforeBegin?.Invoke(plan);
        inner.Begin(plan);
        var copy = new StepPlan();
        plan.CopyTo(copy);
        _begun.Enqueue(copy);
        lock (_gate)
        {
            _entered++;
            foreach (var (step, reached) in _waiters)
            {
                if (step <= _entered) reached.TrySetResult();
            }
        }
    }

    public StepOutput End()
    {
        var plan = _begun.Dequeue();
        lock (_gate)
        {
            while (_held && _stepsAllowed == 0) Monitor.Wait(_gate);
            if (_held) _stepsAllowed--;
        }

        BeforeStep?.Invoke(plan);
        var output = inner.End();
        AfterStep?.Invoke(plan, output);
        return output;
    }

    public void Dispose()
    {
        IsDisposed = true;
        inner.Dispose();
    }
}

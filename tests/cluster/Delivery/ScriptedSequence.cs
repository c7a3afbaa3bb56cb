using Granary.Engine;
using Granary.Engine.Execution;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>A sequence whose tokens a test writes in the engine's place. The id of token i is 100 + i.</summary>
internal sealed class ScriptedSequence : ISequenceHandle
{
    private readonly Lock _gate = new();
    private readonly Queue<GeneratedToken> _tokens = new();
    private readonly TaskCompletionSource _freed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Action _ready = () => { };
    private StepFailedException? _failure;
    private int _written;

    public StepFailedException? Failure => Volatile.Read(ref _failure);

    public bool WasInFailedStep { get; init; }

    public bool IsDisposed { get; private set; }

    /// <summary>Tokens that nobody has taken.</summary>
    public int Untaken
    {
        get
        {
            lock (_gate) return _tokens.Count;
        }
    }

    public ScriptedSequence Write(int count = 1, SequenceEnd? end = null)
    {
        lock (_gate)
        {
            for (var i = 1; i <= count; i++)
            {
                _tokens.Enqueue(new GeneratedToken(_written, 100 + _written, 0, i == count ? end : null));
                _written++;
            }
        }

        _ready();
        return this;
    }

    public void Fail(string message)
    {
        Volatile.Write(ref _failure, new StepFailedException(message));
        _ready();
    }

    /// <summary>Gives its blocks back, which a disposal waits for.</summary>
    public void Free() => _freed.TrySetResult();

    public bool TryRead(out GeneratedToken token)
    {
        lock (_gate) return _tokens.TryDequeue(out token);
    }

    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException("It is listened to.");

    public void Listen(Action ready)
    {
        _ready = ready;
        ready();
    }

    public async ValueTask DisposeAsync()
    {
        IsDisposed = true;
        await _freed.Task;
    }
}

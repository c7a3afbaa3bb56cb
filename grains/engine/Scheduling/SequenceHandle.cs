using System.Threading.Channels;
using Granary.Engine.Execution;

namespace Granary.Engine.Scheduling;

/// <summary>Carries a sequence's tokens from the engine's thread to its reader, and the reader's wishes back.</summary>
/// <remarks>
/// The engine never waits for a reader: a sequence with <c>capacity</c> tokens untaken is paused, and goes on when half of them
/// are taken. The reader's thread then wakes the engine, once per pause.
/// </remarks>
internal sealed class SequenceHandle : ISequenceHandle
{
    private readonly int _capacity;
    private readonly Channel<GeneratedToken> _tokens;
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Action? _resume;
    private Action? _cancel;
    private ITimer? _deadline;
    private Action? _ready;
    private StepFailedException? _failure;
    private int _buffered;
    private int _paused;

    public SequenceHandle(int capacity)
    {
        _capacity = capacity;
        // One more for an end without a token, which comes whether the reader is slow or not.
        _tokens = Channel.CreateBounded<GeneratedToken>(new BoundedChannelOptions(capacity + 1)
        {
            SingleReader = true,
            SingleWriter = true,
            AllowSynchronousContinuations = false, // The engine's thread runs no reader's code.
        });
    }

    /// <summary>Completes when the engine holds nothing for the sequence any more.</summary>
    public Task Released => _released.Task;

    /// <summary>Sets what wakes the engine, and the timer that ends the sequence; before it is submitted.</summary>
    public void Connect(Action resume, Action cancel, ITimer? deadline) => (_resume, _cancel, _deadline) = (resume, cancel, deadline);

    public StepFailedException? Failure => Volatile.Read(ref _failure);

    public bool WasInFailedStep { get; private set; }

    public bool TryRead(out GeneratedToken token)
    {
        if (!_tokens.Reader.TryRead(out token)) return false;
        if (Interlocked.Decrement(ref _buffered) <= _capacity / 2 && Interlocked.Exchange(ref _paused, 0) == 1) _resume?.Invoke();
        return true;
    }

    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) =>
        _tokens.Reader.WaitToReadAsync(cancellationToken);

    public void Listen(Action ready)
    {
        // Written before it is called, and read by the engine after it wrote: one of the two calls sees the token.
        Interlocked.Exchange(ref _ready, ready);
        ready();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_released.Task.IsCompleted) _cancel?.Invoke();
        await _released.Task.ConfigureAwait(false);
    }

    /// <summary>Whether the reader is too far behind for another token. Called by the engine's thread.</summary>
    public bool IsPaused()
    {
        if (Volatile.Read(ref _paused) == 1) return true;
        if (Volatile.Read(ref _buffered) < _capacity) return false;

        // The reader may have caught up before it could see the flag, and would not wake anyone.
        Interlocked.Exchange(ref _paused, 1);
        if (Volatile.Read(ref _buffered) > _capacity / 2) return true;
        Interlocked.Exchange(ref _paused, 0);
        return false;
    }

    public void Write(GeneratedToken token)
    {
        Interlocked.Increment(ref _buffered);
        if (!_tokens.Writer.TryWrite(token))
            throw new InvalidOperationException($"A sequence has more than {_capacity} untaken tokens; it should have paused.");
        if (token.End is not null) _tokens.Writer.TryComplete();
        Interlocked.MemoryBarrier();
        _ready?.Invoke();
    }

    /// <summary>Says that the engine has let go of the sequence.</summary>
    public void Release()
    {
        _deadline?.Dispose();
        _released.TrySetResult();
    }

    /// <param name="wasInFailedStep">Whether the sequence may be the cause.</param>
    public void Fail(StepFailedException error, bool wasInFailedStep)
    {
        if (Failure is not null) return;
        WasInFailedStep = wasInFailedStep; // Before the failure, which tells readers to look.
        Interlocked.Exchange(ref _failure, error);
        _tokens.Writer.TryComplete(error);
        Release();
        _ready?.Invoke();
    }
}

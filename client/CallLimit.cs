namespace Granary.Client;

/// <summary>The time one call may take, and who ended it: the clock or its caller.</summary>
internal sealed class CallLimit : IDisposable
{
    private readonly TimeSpan _timeout;
    private readonly RequestDeadline _deadline;
    private readonly CancellationToken _caller;

    public CallLimit(TimeSpan timeout, TimeProvider time, CancellationToken caller)
    {
        _timeout = timeout;
        _caller = caller;
        Deadline = time.GetUtcNow() + timeout;
        _deadline = new RequestDeadline(Deadline, TimeSpan.Zero, time, caller);
    }

    public DateTimeOffset Deadline { get; }

    /// <summary>Cancelled by the caller or by the clock.</summary>
    public CancellationToken Token => _deadline.Token;

    /// <summary>The clock ended the call, and not its caller.</summary>
    public bool HasTimedOut => _deadline.WasCause;

    /// <exception cref="TimeoutException">The time is over.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> step)
    {
        try
        {
            return await step(Token);
        }
        catch (Exception exception) when (Token.IsCancellationRequested && exception is OperationCanceledException or IOException or HttpRequestException or GranaryClientException)
        {
            // Whoever cancels while bytes are on their way gets whatever the socket says of it.
            _caller.ThrowIfCancellationRequested();
            if (HasTimedOut) throw TimedOut(exception);
            throw;
        }
    }

    public TimeoutException TimedOut(Exception? inner = null) =>
        new(FormattableString.Invariant($"The request took longer than {_timeout.TotalSeconds:0.###} s."), inner);

    public void Dispose() => _deadline.Dispose();
}

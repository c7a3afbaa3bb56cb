namespace Granary.Client;

/// <summary>A token that is cancelled by the caller or by the request's deadline, and knows which.</summary>
internal sealed class RequestDeadline : IDisposable
{
    private readonly CancellationTokenSource? _bound;
    private readonly CancellationTokenSource? _either;
    private readonly CancellationToken _caller;

    /// <param name="deadline">Null for none.</param>
    /// <param name="grace">Added to it, for whoever else watches the same deadline.</param>
    public RequestDeadline(DateTimeOffset? deadline, TimeSpan grace, TimeProvider time, CancellationToken caller)
    {
        _caller = caller;
        if (deadline is null) return;
        var remaining = deadline.Value - time.GetUtcNow();
        HasPassed = remaining <= TimeSpan.Zero;
        if (HasPassed || remaining > MaxTimer) return; // Nothing to wait for, or nothing that happens in this process' life.
        _bound = new CancellationTokenSource(remaining + grace, time);
        _either = CancellationTokenSource.CreateLinkedTokenSource(_bound.Token, caller);
    }

    /// <summary>What timers take, less the grace.</summary>
    private static TimeSpan MaxTimer => TimeSpan.FromDays(40);

    /// <summary>The deadline was over when the request came.</summary>
    public bool HasPassed { get; }

    public CancellationToken Token => _either?.Token ?? _caller;

    /// <summary>The deadline ended the request, and not its caller.</summary>
    public bool WasCause => _bound is { IsCancellationRequested: true } && !_caller.IsCancellationRequested;

    public void Dispose()
    {
        _either?.Dispose();
        _bound?.Dispose();
    }
}

using System.Runtime.CompilerServices;

namespace Orleans.Runtime;

/// <summary>What a stream method returns to its caller: nothing is sent before it is enumerated.</summary>
internal sealed class StreamRequest<T>(GrainReference target, StreamMethod<T> method, object?[] arguments) : IAsyncEnumerable<T>
{
    public GrainReference Target { get; } = target;

    public StreamMethod<T> Method { get; } = method;

    public object?[] Arguments { get; } = arguments;

    public int MaxBatchSize { get; set; } = 100;

    public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default) => new StreamEnumerator<T>(this, cancellationToken);
}

public static class AsyncEnumerableExtensions
{
    /// <summary>Most items the grain sends at once; it only ever sends together what is ready together.</summary>
    public static IAsyncEnumerable<T> WithBatchSize<T>(this IAsyncEnumerable<T> self, int maxBatchSize)
    {
        if (self is StreamRequest<T> request) request.MaxBatchSize = maxBatchSize;
        return self;
    }
}

/// <summary>The caller's side: pulls batches, one request each.</summary>
internal sealed class StreamEnumerator<T> : IAsyncEnumerator<T>
{
    private readonly StreamRequest<T> _request;
    private readonly CancellationToken _token;
    private readonly CancellationTokenSource? _linked;
    private readonly Guid _id = Guid.NewGuid();
    private StreamAnswer<T> _current;
    private int _index;
    private bool _started;
    private bool _disposed;

    public StreamEnumerator(StreamRequest<T> request, CancellationToken token)
    {
        _request = request;
        var argument = request.Method.TokenIndex is >= 0 and var index ? (CancellationToken)request.Arguments[index]! : default;
        if (argument == token || !token.CanBeCanceled)
        {
            _token = argument;
        }
        else if (!argument.CanBeCanceled)
        {
            _token = token;
        }
        else
        {
            _linked = CancellationTokenSource.CreateLinkedTokenSource(argument, token);
            _token = _linked.Token;
        }
    }

    public T Current
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _current.Batch is { } batch ? batch[_index]
                : _current.HasItem ? _current.Item!
                : throw new InvalidOperationException("Cannot get current value of an invalid enumerator.");
        }
    }

    public ValueTask<bool> MoveNextAsync()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_current.Batch is { } batch && ++_index < batch.Count) return new(true);
        return _current.Status == StreamStatus.Completed ? new(false) : PullAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed) return;
        _disposed = true;
        if (_started && _current.Status == StreamStatus.Active) await ReleaseAsync();
        _linked?.Dispose();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> PullAsync()
    {
        try
        {
            do
            {
                _token.ThrowIfCancellationRequested();
                var call = new StreamCall<T>(_request, _id, isStart: !_started);
                _started = true;
                _request.Target.Client.Send(call, call.IsStart ? [.. _request.Arguments] : null, _token);
                _current = await call.Answer;
                _index = 0;
            }
            while (_current.Status == StreamStatus.Active && !_current.HasItem && _current.Batch is null);
        }
        catch
        {
            if (_started && _current.Status == StreamStatus.Active) await ReleaseAsync();
            _current = new() { Status = StreamStatus.Completed };
            throw;
        }

        switch (_current.Status)
        {
            case StreamStatus.Error:
                var error = _current.Error!;
                _current = new() { Status = StreamStatus.Completed };
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Capture(error).Throw();
                return false;
            case StreamStatus.Cancelled:
                _current = new() { Status = StreamStatus.Completed };
                throw new OperationCanceledException();
            case StreamStatus.Missing:
                _current = new() { Status = StreamStatus.Completed };
                throw new EnumerationAbortedException("Enumeration aborted: the remote target does not have a record of this enumerator."
                    + " This likely indicates that the remote grain was deactivated since enumeration begun or that the enumerator was idle for longer than the expiration period.");
            default:
                return _current.HasItem || _current.Batch is not null;
        }
    }

    /// <summary>Tells the producer that nobody reads on; it runs its finally blocks before this ends.</summary>
    private async Task ReleaseAsync()
    {
        var call = new StreamReleaseCall(_request.Target, _request.Method, _id);
        _request.Target.Client.Send(call, null, default);
        // The reader is leaving, for a reason of its own; the producer's silo cleans up what it does not hear of.
        await ((Task)call.Answer).ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
    }
}

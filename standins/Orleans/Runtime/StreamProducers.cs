using System.Runtime.CompilerServices;

namespace Orleans.Runtime;

/// <summary>The enumerations an activation is producing. All of it runs on the activation's scheduler.</summary>
internal sealed class StreamProducers(Activation activation)
{
    private readonly Dictionary<Guid, Producer> _producers = [];
    private readonly CancellationTokenSource _wake = new();
    private ITimer? _cleanup;
    private bool _closed;

    public ValueTask<StreamAnswer<T>> Start<T>(Guid id, int maxBatchSize, StreamCall<T> call, Func<CancellationToken, IAsyncEnumerable<T>> invoke)
    {
        var cancel = new CancellationTokenSource();
        var producer = new Producer<T>(invoke(cancel.Token).GetAsyncEnumerator(cancel.Token), cancel, Math.Max(1, maxBatchSize));
        _producers.Add(id, producer);
        // Whoever is not pulled for a whole period has lost its reader.
        _cleanup ??= activation.Silo.Time.CreateTimer(
            static state => ((StreamProducers)state!).QueueCleanup(), this, activation.Silo.ResponseTimeout, activation.Silo.ResponseTimeout);
        return PullAsync(id, producer, call);
    }

    public ValueTask<StreamAnswer<T>> MoveNext<T>(Guid id, StreamCall<T> call) =>
        _producers.TryGetValue(id, out var producer) ? PullAsync(id, (Producer<T>)producer, call) : new(new StreamAnswer<T> { Status = StreamStatus.Missing });

    public async ValueTask ReleaseAsync(Guid id)
    {
        if (_producers.Remove(id, out var producer)) await producer.StopAsync(activation);
    }

    /// <summary>Answers pulls that wait for an item, so that the activation can end.</summary>
    public void WakePolls()
    {
        _closed = true;
        _wake.Cancel();
    }

    public void StopTimer() => _cleanup?.Dispose();

    public async Task DisposeAsync()
    {
        StopTimer();
        foreach (var id in _producers.Keys.ToArray()) await ReleaseAsync(id);
    }

    private ValueTask<StreamAnswer<T>> PullAsync<T>(Guid id, Producer<T> producer, StreamCall<T> call)
    {
        producer.Seen = true;
        if (producer.Pending is not null) return AwaitAsync(id, producer, call);
        var answer = default(StreamAnswer<T>);
        try
        {
            for (var count = 0; count < producer.MaxBatchSize; count++)
            {
                var next = producer.Enumerator.MoveNextAsync();
                if (!next.IsCompletedSuccessfully)
                {
                    producer.Pending = next.AsTask();
                    break;
                }

                if (!next.Result) return EndAsync(id, answer with { Status = StreamStatus.Completed });
                var item = producer.Enumerator.Current;
                switch (count)
                {
                    case 0:
                        answer.HasItem = true;
                        answer.Item = item;
                        break;
                    case 1:
                        answer = new() { Batch = new(Math.Min(producer.MaxBatchSize, 16)) { answer.Item!, item } };
                        break;
                    default:
                        answer.Batch!.Add(item);
                        break;
                }
            }
        }
        catch (Exception exception)
        {
            return EndAsync(id, new StreamAnswer<T> { Status = StreamStatus.Error, Error = exception });
        }

        // What is ready goes now; the item under way is the next pull's.
        return answer.HasItem || answer.Batch is not null ? new(answer) : AwaitAsync(id, producer, call);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<StreamAnswer<T>> AwaitAsync<T>(Guid id, Producer<T> producer, StreamCall<T> call)
    {
        var pending = producer.Pending!;
        producer.Busy = true;
        if (!pending.IsCompleted && !_closed)
        {
            using var linked = call.PullToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(call.PullToken, _wake.Token) : null;
            await ((Task)pending).WaitAsync(activation.Silo.ResponseTimeout / 2, activation.Silo.Time, linked?.Token ?? _wake.Token)
                .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        }

        producer.Busy = false;
        producer.Seen = true;
        if (!pending.IsCompleted)
        {
            // A heartbeat, unless the reader has left.
            return call.PullToken.IsCancellationRequested ? await EndAsync(id, new StreamAnswer<T> { Status = StreamStatus.Cancelled }) : default;
        }

        producer.Pending = null;
        if (pending.IsCompletedSuccessfully)
        {
            return pending.Result
                ? new() { HasItem = true, Item = producer.Enumerator.Current }
                : await EndAsync(id, new StreamAnswer<T> { Status = StreamStatus.Completed });
        }

        return await EndAsync(id, pending.IsCanceled
            ? new StreamAnswer<T> { Status = StreamStatus.Cancelled }
            : new() { Status = StreamStatus.Error, Error = pending.Exception!.InnerExceptions.Count == 1 ? pending.Exception.InnerException : pending.Exception });
    }

    private async ValueTask<StreamAnswer<T>> EndAsync<T>(Guid id, StreamAnswer<T> answer)
    {
        await ReleaseAsync(id);
        return answer;
    }

    private void QueueCleanup() => activation.Scheduler.QueueAction(static state => _ = ((StreamProducers)state!).CleanUpAsync(), this);

    private async Task CleanUpAsync()
    {
        foreach (var (id, producer) in _producers.ToArray())
        {
            if (producer.Seen || producer.Busy) producer.Seen = false;
            else await ReleaseAsync(id);
        }
    }

    private abstract class Producer
    {
        /// <summary>Pulled since the last clean-up.</summary>
        public bool Seen { get; set; }

        /// <summary>A pull is waiting in it.</summary>
        public bool Busy { get; set; }

        public abstract Task StopAsync(Activation activation);
    }

    private sealed class Producer<T>(IAsyncEnumerator<T> enumerator, CancellationTokenSource cancel, int maxBatchSize) : Producer
    {
        public IAsyncEnumerator<T> Enumerator { get; } = enumerator;

        public int MaxBatchSize { get; } = maxBatchSize;

        /// <summary>A step of the enumerator that did not end at once.</summary>
        public Task<bool>? Pending { get; set; }

        public override async Task StopAsync(Activation activation)
        {
            try
            {
                await cancel.CancelAsync();
                if (Pending is { } pending)
                {
                    await ((Task)pending).WaitAsync(activation.Silo.ResponseTimeout, activation.Silo.Time)
                        .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
                    // An iterator in the middle of a step cannot be disposed.
                    if (!pending.IsCompleted) return;
                }

                await Enumerator.DisposeAsync();
            }
            catch (Exception exception)
            {
                activation.Silo.LogStreamStopFailure(activation.ToString(), exception);
            }
        }
    }
}

using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;
using Orleans;

namespace Granary.Silo.Gateway.Streams;

/// <summary>Tells a stream's journal what was read, in batches beside the stream: only its first event waits, for the beginning, and a journal that fails costs nothing but itself.</summary>
/// <param name="takeover">Which gateway of the stream this is.</param>
/// <param name="isKept">Whether the journal has the head.</param>
/// <param name="beginLimit">Longest that the stream's first event waits for the journal, counted from now.</param>
internal sealed partial class StreamRecorder(
    IStreamGrain grain, StreamHead head, int takeover, bool isKept, RecordedChoice[] choices, int maxBytes, TimeSpan beginLimit, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>Tokens of all choices that make a batch.</summary>
    public const int BatchTokens = 64;

    /// <summary>
    /// Age at which fewer tokens are a batch as well, and none too: so a stream that waits for its tokens keeps its journal, and hears that another gateway has it. What comes
    /// later is generated again by whoever goes on.
    /// </summary>
    public static readonly TimeSpan BatchPeriod = TimeSpan.FromSeconds(1);

    /// <summary>Further attempts once the stream has ended, when no token makes one.</summary>
    private const int LateAttempts = 2;

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _takenOver = new();
    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _began = time.GetTimestamp();
    private volatile bool _hasBegun = isKept;
    private ITimer? _beat; // Null before the start.
    private long _bytes = head.Body.Length;
    private long _sent;
    private bool _isKept = isKept;
    private bool _isSending;
    private bool _hasFailed;
    private bool _isFull;
    private bool _isOver; // Nothing more is to be told.
    private bool _hasEnded;
    private int _lateFailures;

    /// <summary>Cancelled when another gateway has the stream.</summary>
    public CancellationToken TakenOver => _takenOver.Token;

    /// <summary>The stream can be gone on with: before that, its events are not worth a name.</summary>
    public bool HasBegun => _hasBegun;

    /// <summary>Waits until the journal has begun, or has failed to, for a bounded time.</summary>
    public async ValueTask WhenBegunAsync(CancellationToken cancellationToken)
    {
        if (_hasBegun || _answered.Task.IsCompleted) return;
        var left = beginLimit - time.GetElapsedTime(_began);
        if (left <= TimeSpan.Zero) return;
        await _answered.Task.WaitAsync(left, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Makes the journal where there is none yet, beside what the stream does, and tells it from now on.</summary>
    public void Start()
    {
        StreamBatch? batch = null;
        lock (_gate)
        {
            if (_isKept) _sent = _began;
            else batch = TakeBatch();
            _beat = time.CreateTimer(static recorder => ((StreamRecorder)recorder!).Beat(), this, BatchPeriod, Timeout.InfiniteTimeSpan);
        }

        if (batch is not null) _ = SendAsync(batch);
    }

    public void Add(int choice, in TokenChunk chunk)
    {
        // What is cut off has not ended: whoever goes on may have the time.
        if (chunk.FinishReason is FinishReason.Deadline or FinishReason.Cancelled) return;
        StreamBatch? batch = null;
        lock (_gate)
        {
            if (_isFull || _isOver) return;
            var isFirst = !choices[choice].HasBegun;
            _bytes += StreamTokens.BytesOfToken + StreamTokens.BytesOf(chunk.Logprobs);
            _isFull = _bytes > maxBytes;
            if (_isFull) return; // What is kept is a beginning without gaps.
            choices[choice].Add(chunk);
            if (IsDue(isFirst)) batch = TakeBatch();
        }

        if (batch is not null) _ = SendAsync(batch);
    }

    /// <summary>Tells what is left; nothing is added any more.</summary>
    /// <remarks>The source of <see cref="TakenOver"/> has neither timer nor handle, and a last batch may still cancel it.</remarks>
    public void Dispose()
    {
        _beat?.Dispose();
        StreamBatch? batch = null;
        lock (_gate)
        {
            _hasEnded = true;
            if (!_isSending && !_isOver && (Pending > 0 || !_isKept)) batch = TakeBatch();
        }

        if (batch is not null) _ = SendAsync(batch);
    }

    private void Beat()
    {
        StreamBatch? batch = null;
        lock (_gate)
        {
            if (_isOver || _hasEnded) return;
            if (!_isSending && time.GetElapsedTime(_sent) >= BatchPeriod) batch = TakeBatch();
            _beat!.Change(BatchPeriod, Timeout.InfiniteTimeSpan);
        }

        if (batch is not null) _ = SendAsync(batch);
    }

    private int Pending => choices.Sum(choice => choice.Pending);

    /// <remarks>A choice's first token goes at once: it tells what its prompt found in the cache, which no other replica can tell again.</remarks>
    private bool IsDue(bool isFirst)
    {
        if (_isSending) return false;
        var isOld = time.GetElapsedTime(_sent) >= BatchPeriod;
        return _hasFailed ? isOld : isFirst || isOld || Pending >= BatchTokens;
    }

    private StreamBatch TakeBatch()
    {
        (_isSending, _sent) = (true, time.GetTimestamp());
        var parts = Enumerable.Range(0, choices.Length).Where(choice => choices[choice].Pending > 0).Select(choice => choices[choice].ToTokens(choice));
        return new(takeover, _isKept ? null : head, [.. parts]);
    }

    private async Task SendAsync(StreamBatch first)
    {
        for (var batch = first; batch is not null;)
        {
            StreamAppend? answer = null;
            try
            {
                answer = await grain.AppendAsync(batch);
            }
            catch (Exception exception)
            {
                // The silo of the journal, or this one, is ending: the stream goes on.
                if (!_hasFailed) LogNotKept(exception, grain.GetPrimaryKeyString()); // Once for each time that it begins to fail.
            }

            _hasBegun |= answer == StreamAppend.Kept;
            _answered.TrySetResult();
            if (answer == StreamAppend.TakenOver) await _takenOver.CancelAsync();
            lock (_gate) batch = TakeNext(batch, answer);
        }
    }

    /// <summary>Takes note of what became of a batch.</summary>
    /// <returns>What is to be told at once; null for nothing.</returns>
    private StreamBatch? TakeNext(StreamBatch batch, StreamAppend? answer)
    {
        _isSending = false;
        _hasFailed = answer is null || (answer == StreamAppend.Unknown && batch.Head is not null);
        _isOver |= answer is StreamAppend.TakenOver or StreamAppend.Full;
        if (_isOver) return null;
        if (answer == StreamAppend.Kept)
        {
            _isKept = true;
            foreach (var part in batch.Choices) choices[part.Choice].Keep(part);
        }
        else if (answer == StreamAppend.Unknown)
        {
            _isKept = false;
            foreach (var choice in choices) choice.KeepNothing();
        }

        if (_hasFailed) return _hasEnded && _lateFailures++ < LateAttempts ? TakeBatch() : null;
        return !_isKept || Pending >= BatchTokens || (_hasEnded && Pending > 0) ? TakeBatch() : null;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Stream {Id}: its journal could not be written; it is tried again.")]
    private partial void LogNotKept(Exception exception, string id);
}

using System.Threading.Tasks.Sources;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Client;

/// <summary>The tokens of one sequence, as its <see cref="ReplicaConnection"/> brings them; read by one reader.</summary>
/// <remarks>
/// It holds at most <see cref="TokenCredit.Window"/> tokens: the replica sends no more before its reader has taken some, so a reader that is behind stops
/// its own sequence and no other. A wait allocates nothing.
/// </remarks>
internal sealed class TokenStream : IValueTaskSource<StreamNews>, IThreadPoolWorkItem, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly ReplicaConnection _connection;
    private readonly long _slot;
    private readonly CancellationToken _cancellation;
    private readonly CancellationTokenRegistration _registration;
    private readonly Queue<TokenChunk> _chunks = new();
    private ManualResetValueTaskSourceCore<StreamNews> _wake;
    private Task? _submitting;
    private TokenChunk _current;
    private Loss? _loss;
    private long _waitsSince; // 0 until it is admitted.
    private int _received;
    private int _taken;
    private int _limit = TokenCredit.Window;
    private int _cachedPromptTokens;
    private bool _waiting;
    private bool _ended;
    private bool _runsOn; // Ended for its reader alone.
    private bool _isDraining; // And its reader has not heard.

    /// <param name="patience">How many times the connection's limit its life's steps may stand still.</param>
    public TokenStream(ReplicaConnection connection, long slot, int patience, CancellationToken cancellationToken)
    {
        (_connection, _slot, Patience, _cancellation) = (connection, slot, patience, cancellationToken);
        _registration = cancellationToken.UnsafeRegister(static stream => ((TokenStream)stream!).Wake(), this);
    }

    public TokenChunk Current => _current;

    public int Patience { get; }

    public bool IsAdmitted => Volatile.Read(ref _waitsSince) != 0;

    /// <summary>Why nothing more comes; null where the sequence's end came, or nobody said anything.</summary>
    public Loss? Loss
    {
        get
        {
            lock (_gate) return _loss;
        }
    }

    /// <summary>Waits for what comes next.</summary>
    /// <exception cref="OperationCanceledException">The stream's token was cancelled.</exception>
    public ValueTask<StreamNews> NextAsync()
    {
        lock (_gate)
        {
            if (!IsSettled)
            {
                _wake.Reset();
                _waiting = true;
                return new(this, _wake.Version);
            }
        }

        return new(Take());
    }

    /// <summary>Takes entries of a message, all of this sequence.</summary>
    /// <param name="detail">The first detail that does not lie before the entries; moves behind them.</param>
    /// <returns>Whether nothing more is to come.</returns>
    public bool Append(StepTokens message, int first, int end, ref int detail)
    {
        var wake = false;
        lock (_gate)
        {
            for (var entry = first; entry < end; entry++)
            {
                var told = detail < message.Details.Length && message.Details[detail].Entry == entry ? message.Details[detail++] : default;
                if (!_ended) Add(message, entry, told);
            }

            if (_waiting && IsSettled) (_waiting, wake) = (false, true);
        }

        if (wake) CallReader();
        return _ended;
    }

    /// <summary>Lets the reader that waits go on.</summary>
    void IThreadPoolWorkItem.Execute() => _wake.SetResult(default);

    /// <summary>Nothing more comes.</summary>
    /// <param name="runs">The replica may still have the sequence.</param>
    public void End(Loss loss, bool runs)
    {
        lock (_gate)
        {
            if (_ended) return;
            (_ended, _loss, _runsOn) = (true, loss, runs);
        }

        Wake();
    }

    /// <summary>Its life will end; its reader hears of it before the next token.</summary>
    public void TellDraining()
    {
        lock (_gate)
        {
            if (_ended) return;
            _isDraining = true;
        }

        Wake();
    }

    /// <summary>The replica has it.</summary>
    public void Admit(long timestamp) => Volatile.Write(ref _waitsSince, Math.Max(1, timestamp));

    /// <summary>Whether its life should be computing it, as far as this process knows.</summary>
    /// <param name="since">Timestamp since which that is so.</param>
    public bool WaitsForSteps(out long since)
    {
        lock (_gate)
        {
            since = _waitsSince;
            return IsAdmitted && !_ended && _received < _limit;
        }
    }

    /// <summary>Has the replica admit the request; its errors come unchanged.</summary>
    /// <exception cref="TimeoutException">It did not answer; whether it has the request nobody knows.</exception>
    public Task SubmitAsync(GenerateRequest request, TimeSpan limit, TimeProvider time)
    {
        // It is not cancelled on the way: what was begun can be ended, what may have been begun cannot.
        _submitting = _connection.SubmitAsync(request, _slot);
        return _submitting.WaitAsync(limit, time, _cancellation);
    }

    /// <summary>Ends the sequence where it still runs, and waits for nothing.</summary>
    public void Abandon() => _ = DisposeAsync().AsTask();

    /// <summary>Ends the sequence where it still runs; its blocks are free when this returns, unless the replica does not answer.</summary>
    public async ValueTask DisposeAsync()
    {
        await _registration.DisposeAsync().ConfigureAwait(false);
        bool runs;
        lock (_gate)
        {
            runs = !_ended || _runsOn;
            (_ended, _runsOn) = (true, false);
        }

        _connection.Forget(_slot);
        if (!runs || _submitting is null) return;
        if (!_submitting.IsCompleted) await _connection.WithinLeaveLimitAsync(_submitting).ConfigureAwait(false);
        if (!_submitting.IsCompleted) _ = CancelLaterAsync(_submitting);
        else if (_submitting.IsCompletedSuccessfully) await _connection.CancelAsync(_slot).ConfigureAwait(false);
        else if (_submitting.Exception?.InnerException is TimeoutException) _ = _connection.CancelAsync(_slot); // Whether it was begun nobody knows.
    }

    private async Task CancelLaterAsync(Task submitting)
    {
        await submitting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _connection.CancelAsync(_slot).ConfigureAwait(false);
    }

    StreamNews IValueTaskSource<StreamNews>.GetResult(short token)
    {
        _wake.GetResult(token);
        return Take();
    }

    ValueTaskSourceStatus IValueTaskSource<StreamNews>.GetStatus(short token) => _wake.GetStatus(token);

    void IValueTaskSource<StreamNews>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wake.OnCompleted(continuation, state, token, flags);

    /// <summary>Whether there is something to say without waiting. Under the lock.</summary>
    private bool IsSettled => _chunks.Count > 0 || _ended || _isDraining || _cancellation.IsCancellationRequested;

    private StreamNews Take()
    {
        _cancellation.ThrowIfCancellationRequested();
        TokenCredit credit;
        bool isStopped;
        lock (_gate)
        {
            if (_isDraining && !_ended)
            {
                _isDraining = false;
                return StreamNews.Draining;
            }

            if (!_chunks.TryDequeue(out _current)) return StreamNews.Ended;
            _taken++;
            if (_ended || _limit - _taken > TokenCredit.Window / 2) return StreamNews.Token;
            isStopped = _received >= _limit;
            _limit = _taken + TokenCredit.Window;
            credit = new(_slot, _limit);
            if (isStopped) _waitsSince = _connection.Timestamp;
        }

        _connection.Grant(credit, atOnce: isStopped);
        return StreamNews.Token;
    }

    /// <summary>Under the lock.</summary>
    private void Add(StepTokens message, int entry, in TokenDetail detail)
    {
        if (detail.Failure is { } failure)
        {
            (_ended, _loss) = (true, new(LossReason.Crash, $"{_connection.Name} gave the sequence up: {failure}") { WasInFailedStep = detail.WasInFailedStep });
            return;
        }

        if (_received++ >= _limit)
        {
            (_ended, _runsOn) = (true, true);
            _loss = new(LossReason.Crash, $"{_connection.Name} sent more than the {_limit} tokens it may.");
            return;
        }

        if (detail.CachedPromptTokens > 0) _cachedPromptTokens = detail.CachedPromptTokens;
        _ended = detail.FinishReason is not null;
        _chunks.Enqueue(new TokenChunk
        {
            Index = message.Indexes[entry],
            TokenId = message.TokenIds[entry],
            Epoch = message.Epoch,
            ReplicaId = _connection.Life.ReplicaId,
            FinishReason = detail.FinishReason,
            CachedPromptTokens = _cachedPromptTokens,
            Logprobs = detail.Logprobs,
            PromptLogprobs = detail.PromptLogprobs,
        });
    }

    private void Wake()
    {
        lock (_gate)
        {
            if (!_waiting) return;
            _waiting = false;
        }

        CallReader();
    }

    /// <summary>Whoever brings tokens goes on bringing them: readers run on other threads.</summary>
    private void CallReader()
    {
        if (_connection.Turns is { } turns) turns.Add(this, begins: _taken == 0);
        else ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true); // One reader's work delays no other's tokens.
    }
}

/// <summary>What a stream has to say.</summary>
internal enum StreamNews
{
    /// <summary><see cref="TokenStream.Current"/> is the next chunk.</summary>
    Token,

    /// <summary>Nothing more comes.</summary>
    Ended,

    /// <summary>Its life will end: who has somewhere else to go on had better go. Tokens go on coming.</summary>
    Draining,
}

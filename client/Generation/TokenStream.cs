using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Client;

/// <summary>The tokens of one sequence, as its <see cref="ReplicaConnection"/> brings them; read by one reader.</summary>
/// <remarks>
/// It holds at most <see cref="TokenCredit.Window"/> tokens: the replica sends no more before its reader has taken some, so a reader that is behind stops
/// its own sequence and no other. A wait allocates nothing.
/// </remarks>
internal sealed class TokenStream : IValueTaskSource<bool>, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly ReplicaConnection _connection;
    private readonly long _slot;
    private readonly CancellationToken _cancellation;
    private readonly CancellationTokenRegistration _registration;
    private readonly Queue<TokenChunk> _chunks = new();
    private ManualResetValueTaskSourceCore<bool> _wake = new() { RunContinuationsAsynchronously = true }; // One reader's work delays no other's tokens.
    private Task? _submitting;
    private TokenChunk _current;
    private Exception? _failure;
    private int _received;
    private int _taken;
    private int _limit = TokenCredit.Window;
    private int _cachedPromptTokens;
    private bool _waiting;
    private bool _ended;

    public TokenStream(ReplicaConnection connection, long slot, CancellationToken cancellationToken)
    {
        (_connection, _slot, _cancellation) = (connection, slot, cancellationToken);
        _registration = cancellationToken.UnsafeRegister(static stream => ((TokenStream)stream!).Wake(), this);
    }

    public TokenChunk Current => _current;

    /// <summary>False after the last; before the first chunk the replica's errors come unchanged, after it as the contract has them.</summary>
    /// <exception cref="ReplicaFailedException">The replica was lost on the way.</exception>
    public ValueTask<bool> MoveNextAsync()
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

        if (wake) _wake.SetResult(true);
        return _ended;
    }

    /// <summary>Nothing more comes.</summary>
    /// <param name="cause">Null where the replica ended and said no more.</param>
    public void End(Exception? cause)
    {
        lock (_gate)
        {
            if (_ended) return;
            (_ended, _failure) = (true, cause);
        }

        Wake();
    }

    /// <summary>Has the replica admit the request; its errors come unchanged.</summary>
    public Task SubmitAsync(GenerateRequest request)
    {
        // It is not cancelled on the way: what was begun can be ended, what may have been begun cannot.
        _submitting = _connection.SubmitAsync(request, _slot);
        return _submitting.WaitAsync(_cancellation);
    }

    /// <summary>Ends the sequence where it still runs; its blocks are free when this returns.</summary>
    public async ValueTask DisposeAsync()
    {
        await _registration.DisposeAsync().ConfigureAwait(false);
        bool runs;
        lock (_gate)
        {
            runs = !_ended;
            _ended = true;
        }

        _connection.Forget(_slot);
        if (!runs || _submitting is null) return;
        await _submitting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_submitting.IsCompletedSuccessfully) await _connection.CancelAsync(_slot).ConfigureAwait(false);
        else if (_submitting.Exception?.InnerException is TimeoutException) _ = _connection.CancelAsync(_slot); // Whether it was begun nobody knows.
    }

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        _wake.GetResult(token);
        return Take();
    }

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _wake.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wake.OnCompleted(continuation, state, token, flags);

    /// <summary>Whether there is something to say without waiting. Under the lock.</summary>
    private bool IsSettled => _chunks.Count > 0 || _ended || _cancellation.IsCancellationRequested;

    private bool Take()
    {
        _cancellation.ThrowIfCancellationRequested();
        TokenCredit credit;
        bool isStopped;
        lock (_gate)
        {
            if (!_chunks.TryDequeue(out _current))
            {
                if (_failure is not null) Throw(_failure);
                return false;
            }

            _taken++;
            if (_ended || _limit - _taken > TokenCredit.Window / 2) return true;
            isStopped = _received >= _limit;
            _limit = _taken + TokenCredit.Window;
            credit = new(_slot, _limit);
        }

        _connection.Grant(credit, atOnce: isStopped);
        return true;
    }

    /// <summary>Under the lock.</summary>
    private void Add(StepTokens message, int entry, in TokenDetail detail)
    {
        if (detail.Failure is { } failure)
        {
            (_ended, _failure) = (true, new ReplicaFailedException($"Replica '{_connection.Life.ReplicaId}' failed while the sequence ran: {failure}"));
            return;
        }

        if (_received++ >= _limit)
        {
            (_ended, _failure) = (true, new ReplicaFailedException($"Replica '{_connection.Life.ReplicaId}' sent more than the {_limit} tokens it may."));
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

        _wake.SetResult(true);
    }

    private void Throw(Exception failure)
    {
        if (_taken > 0 && StreamErrors.ToContract(failure, _connection.Life) is { } typed) throw typed;
        ExceptionDispatchInfo.Throw(failure);
    }
}

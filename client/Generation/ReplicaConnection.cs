using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>This process as a reader of one life of one replica: takes what each step made for all its sequences, and hands it to their streams.</summary>
/// <remarks>
/// One take is under way at all times: it brings tokens, carries credits, and is the sign of life. Where it fails, every stream fails, once. Safe for
/// any thread.
/// </remarks>
internal sealed class ReplicaConnection
{
    /// <summary>A connection without streams is closed after this; the replica forgets it by its lease.</summary>
    internal static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(30);

    /// <summary>Who leaves waits for the step in progress, and no longer than this for a device that does not answer.</summary>
    internal static readonly TimeSpan LeaveLimit = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly IReplicaGrain _replica;
    private readonly TimeProvider _time;
    private readonly Guid _id = Guid.NewGuid();
    private readonly Dictionary<long, TokenStream> _streams = [];
    private readonly List<TokenCredit> _credits = [];
    private Task _opening = null!; // Set by Start, before anybody submits.
    private long _lastSlot;
    private long _idleSince;
    private bool _closed;

    public ReplicaConnection(IReplicaGrain replica, ReplicaLife life, TimeProvider time)
    {
        (_replica, Life, _time) = (replica, life, time);
        _idleSince = time.GetTimestamp();
    }

    public ReplicaLife Life { get; }

    /// <param name="closed">Called once, when nothing can be begun any more.</param>
    public void Start(Action<ReplicaConnection> closed)
    {
        // It serves many requests: neither the first one's context nor its scheduler is the connection's.
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _opening = Task.Run(() => _replica.OpenReaderAsync(_id, Life.Epoch));
            _ = Task.Run(() => RunAsync(closed));
        }
    }

    /// <summary>A stream for a request; null where the connection is closed.</summary>
    public TokenStream? TryBegin(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_closed) return null;
            var stream = new TokenStream(this, ++_lastSlot, cancellationToken);
            _streams.Add(_lastSlot, stream);
            return stream;
        }
    }

    /// <summary>Begins nothing more: the replica has forgotten this reader. The take under way fails, and the streams with it.</summary>
    public void Retire()
    {
        lock (_gate) _closed = true;
    }

    /// <summary>Has the replica admit the request; its errors come unchanged.</summary>
    public async Task SubmitAsync(GenerateRequest request, long slot)
    {
        await _opening.ConfigureAwait(false);
        await _replica.SubmitAsync(request, Life.Epoch, _id, slot).ConfigureAwait(false);
    }

    /// <summary>Lets a sequence go on up to a limit.</summary>
    /// <param name="atOnce">The replica has nothing left to send of it: the take under way may never end.</param>
    public void Grant(TokenCredit credit, bool atOnce)
    {
        if (atOnce)
        {
            _ = SendAsync();
            return;
        }

        lock (_gate) _credits.Add(credit);

        async Task SendAsync()
        {
            // What is lost with it, the takes find out.
            await _replica.GrantAsync(_id, credit).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Brings a stream nothing more.</summary>
    public void Forget(long slot)
    {
        lock (_gate) Remove(slot);
    }

    /// <summary>Ends a sequence; its blocks are free when this returns, unless the replica does not answer within <see cref="LeaveLimit"/>.</summary>
    public async Task CancelAsync(long slot) =>
        await _replica.CancelAsync(_id, slot).WaitAsync(LeaveLimit, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task RunAsync(Action<ReplicaConnection> closed)
    {
        Exception? failure = null;
        try
        {
            await _opening.ConfigureAwait(false);
            while (!CloseIfIdle())
            {
                var message = await _replica.TakeAsync(_id, TakeCredits()).ConfigureAwait(false);
                Distribute(message);
                if (message.IsLast) break;
            }
        }
        catch (Exception exception)
        {
            failure = exception;
        }

        TokenStream[] left;
        lock (_gate)
        {
            _closed = true;
            left = [.. _streams.Values];
            _streams.Clear();
        }

        closed(this);
        foreach (var stream in left) stream.End(failure);
    }

    private TokenCredit[] TakeCredits()
    {
        lock (_gate)
        {
            if (_credits.Count == 0) return [];
            TokenCredit[] credits = [.. _credits];
            _credits.Clear();
            return credits;
        }
    }

    /// <summary>Closes the connection where nobody needs it any more.</summary>
    private bool CloseIfIdle()
    {
        lock (_gate)
        {
            if (_streams.Count > 0 || _time.GetElapsedTime(_idleSince) < IdleLimit) return false;
            return _closed = true;
        }
    }

    private void Distribute(StepTokens message)
    {
        var detail = 0;
        for (int first = 0, end; first < message.Slots.Length; first = end)
        {
            var slot = message.Slots[first];
            end = first + 1;
            while (end < message.Slots.Length && message.Slots[end] == slot) end++;
            TokenStream? stream;
            lock (_gate) _streams.TryGetValue(slot, out stream);
            if (stream is not null && stream.Append(message, first, end, ref detail))
            {
                lock (_gate) Remove(slot);
            }

            while (detail < message.Details.Length && message.Details[detail].Entry < end) detail++; // Of a stream that was left.
        }
    }

    /// <summary>Under the lock.</summary>
    private void Remove(long slot)
    {
        if (_streams.Remove(slot) && _streams.Count == 0) _idleSince = _time.GetTimestamp();
    }
}

using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>Tells all who watch one life of a replica what is new: its load, and the changes of its KV cache.</summary>
/// <remarks>
/// One timer serves all watchers, and runs while one waits: at each beat it looks at the engine once and answers those for whom there is something. The
/// engine's thread does nothing for them. Safe for any thread.
/// </remarks>
internal sealed class NewsFeed
{
    /// <summary>Watchers are routers, one for each silo and model; more than this is a caller that does not wait for its answers.</summary>
    internal const int MaxWatchers = 1024;

    private readonly Lock _gate = new();
    private readonly HostedReplica _replica;
    private readonly TimeProvider _time;
    private readonly SnapshotPages _pages = new();
    private readonly LinkedList<Watcher> _waiting = [];
    private readonly ITimer _beat;
    private bool _beating;
    private long _next; // Of the engine's events, as of the last look.
    private ReplicaLoad _told; // What later loads are compared with.
    private long? _toldAt; // Null before the first change.

    public NewsFeed(HostedReplica replica, TimeProvider time)
    {
        (_replica, _time) = (replica, time);
        _told = ReplicaMapping.ToLoad(replica);
        _beat = time.CreateTimer(static feed => ((NewsFeed)feed!).Beat(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        replica.Changed += AnswerAll;
    }

    /// <summary>Waits for something that the watcher does not know, at most <see cref="ReplicaWatch.Heartbeat"/>; one that knows nothing does not wait.</summary>
    /// <param name="next">As <see cref="IReplicaGrain.WatchAsync"/> has it.</param>
    /// <returns>False where too many wait already.</returns>
    public async Task<bool> WaitAsync(long next, CancellationToken cancellationToken)
    {
        if (next <= 0) return true;
        LinkedListNode<Watcher> watcher;
        lock (_gate)
        {
            if (_replica.Ended.IsCompleted) return true;
            if (_waiting.Count >= MaxWatchers) return false;
            watcher = _waiting.AddLast(new Watcher(next - KvNews.Offset, _time.GetTimestamp()));
            if (!_beating) _beat.Change(ReplicaWatch.Pause, Timeout.InfiniteTimeSpan);
            _beating = true;
        }

        try
        {
            await watcher.Value.Answered.Task.WaitAsync(cancellationToken);
        }
        finally
        {
            lock (_gate)
            {
                if (watcher.List is not null) _waiting.Remove(watcher);
            }
        }

        return true;
    }

    /// <summary>What there is to tell now.</summary>
    public ReplicaNews Read(long next)
    {
        var events = next < 0 ? _pages.Find(next) : null;
        events ??= _pages.Split(_replica.Engine.ReadKvEvents(Math.Max(0, next - KvNews.Offset)));
        return new ReplicaNews(ReplicaMapping.ToLoad(_replica), events);
    }

    private void Beat()
    {
        var load = ReplicaMapping.ToLoad(_replica);
        var next = _replica.Engine.ReadKvEvents(_next).Next; // Only here: one beat at a time.
        var answered = new List<Watcher>();
        lock (_gate)
        {
            _next = next;
            if (IsNews(_told, load)) (_told, _toldAt) = (load, _time.GetTimestamp());
            for (var node = _waiting.First; node is not null;)
            {
                var (watcher, following) = (node, node.Next);
                node = following;
                if (!IsDue(watcher.Value)) continue;
                answered.Add(watcher.Value);
                _waiting.Remove(watcher);
            }

            _beating = _waiting.Count > 0;
            if (_beating) _beat.Change(ReplicaWatch.Pause, Timeout.InfiniteTimeSpan);
        }

        foreach (var watcher in answered) watcher.Answered.TrySetResult();
    }

    /// <summary>Under the lock.</summary>
    /// <remarks>Who watches asks again as soon as it was answered. What changed shortly before may not have been in that answer, and is told once more.</remarks>
    private bool IsDue(Watcher watcher) =>
        watcher.Next != _next
        || (_toldAt is { } at && _time.GetElapsedTime(at, watcher.Since) < 2 * ReplicaWatch.Pause)
        || _time.GetElapsedTime(watcher.Since) >= ReplicaWatch.Heartbeat;

    /// <summary>Whether a router would decide otherwise: not for a step more, nor for a few blocks.</summary>
    private static bool IsNews(ReplicaLoad told, ReplicaLoad now) =>
        told.RunningSequences != now.RunningSequences
        || told.WaitingSequences != now.WaitingSequences
        || told.PendingPrefillTokens != now.PendingPrefillTokens
        || told.IsDraining != now.IsDraining
        || Math.Abs(told.KvBlocksUsed - now.KvBlocksUsed) > now.KvBlocksTotal / 64;

    /// <summary>The life drains or has ended.</summary>
    private void AnswerAll()
    {
        Watcher[] answered;
        lock (_gate)
        {
            answered = [.. _waiting];
            _waiting.Clear();
        }

        foreach (var watcher in answered) watcher.Answered.TrySetResult();
        if (_replica.Ended.IsCompleted) _beat.Dispose();
    }

    /// <summary>One call that waits.</summary>
    /// <param name="Next">The first of the engine's events that it does not know.</param>
    private sealed record Watcher(long Next, long Since)
    {
        /// <summary>The thread that answers runs no grain's code.</summary>
        public TaskCompletionSource Answered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

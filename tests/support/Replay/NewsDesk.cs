using Granary.GrainInterfaces.Replicas;

namespace Granary.Tests.Support.Replay;

/// <summary>Answers those who watch a replica, at the pace and for the reasons at which the product's does: on a beat, when something is new.</summary>
internal sealed class NewsDesk(ReplayReplica replica, ReplayClock clock)
{
    private readonly List<(long Wanted, long Since, Action<ReplicaNews> Answer)> _waiting = [];
    private ReplicaLoad _told = replica.Load;
    private long _toldAt;
    private bool _beating;

    /// <summary>Who knows nothing does not wait.</summary>
    public void Watch(long wanted, Action<ReplicaNews> answer)
    {
        if (replica.HasEnded) return;
        if (wanted <= 0)
        {
            answer(new(replica.Load, replica.Events(wanted)));
            return;
        }

        _waiting.Add((wanted, clock.GetTimestamp(), answer));
        if (!_beating) clock.After(ReplicaWatch.Pause.TotalSeconds, Beat);
        _beating = true;
    }

    private void Beat()
    {
        _beating = false;
        if (replica.HasEnded) return;
        var load = replica.Load;
        if (IsNews(_told, load)) (_told, _toldAt) = (load, clock.GetTimestamp());
        var waiting = _waiting.ToArray();
        _waiting.Clear();
        foreach (var watcher in waiting)
        {
            var events = replica.Events(watcher.Wanted);
            var isDue = events.Next != watcher.Wanted
                || clock.GetElapsedTime(_toldAt, watcher.Since) < ReplicaWatch.Pause
                || clock.GetElapsedTime(watcher.Since) >= ReplicaWatch.Heartbeat;
            if (isDue) watcher.Answer(new(load, events));
            else _waiting.Add(watcher);
        }

        if (_waiting.Count == 0 || _beating) return;
        _beating = true;
        clock.After(ReplicaWatch.Pause.TotalSeconds, Beat);
    }

    private static bool IsNews(ReplicaLoad told, ReplicaLoad now) =>
        told.RunningSequences != now.RunningSequences
        || told.WaitingSequences != now.WaitingSequences
        || told.PendingPrefillTokens != now.PendingPrefillTokens
        || Math.Abs(told.KvBlocksUsed - now.KvBlocksUsed) > now.KvBlocksTotal / 64;
}

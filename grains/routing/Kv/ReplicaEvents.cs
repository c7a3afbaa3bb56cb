using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing.Kv;

/// <summary>Takes the events of one life's cache into the index, each once and in order, whatever is lost, doubled or late.</summary>
/// <remarks>After a gap nothing is taken but a snapshot; until then what was known stays: most of it is true. Pages of a snapshot are taken one after the other.</remarks>
public sealed class ReplicaEvents(KvIndex index)
{
    private long _next; // Negative: the next page of a snapshot.

    /// <summary>The life's number in the index.</summary>
    public int Replica { get; } = index.Add();

    /// <summary>Blocks that it has, those in several tiers counted in each.</summary>
    public long Blocks { get; private set; }

    /// <summary>Whether events are missing, so that only a snapshot will do.</summary>
    public bool HasGap { get; private set; }

    /// <summary>What to ask the replica for: what comes next, or 0 after a gap.</summary>
    public long Wanted => HasGap ? 0 : _next;

    /// <summary>Whether the replica has what is missing here, and need not be waited for.</summary>
    public bool IsBehind => HasGap || _next < 0;

    /// <returns><see langword="false"/> when they were known or too late, or events before them are missing: then ask for <see cref="Wanted"/>.</returns>
    public bool Take(KvEvents events)
    {
        if (events.IsSnapshot)
        {
            if (events.Next >= 0 && events.Next < _next) return false; // It was overtaken.
            index.Apply(Replica, events);
            Blocks = 0;
        }
        else if (events.First < 0 || _next < 0)
        {
            if (events.First != _next) return false;
            index.Apply(Replica, events);
        }
        else
        {
            if (events.Next < _next || HasGap) return false;
            HasGap = events.First > _next;
            if (HasGap) return false;
            index.Apply(Replica, events, (int)(_next - events.First));
        }

        var skip = events.IsSnapshot || events.First < 0 ? 0 : _next - events.First;
        foreach (var run in events.Runs)
        {
            var taken = run.Count - Math.Min(run.Count, skip);
            skip -= run.Count - taken;
            Blocks += run.IsStored ? taken : -taken;
        }

        (HasGap, _next) = (false, events.Next);
        return true;
    }

    /// <summary>The life has ended.</summary>
    public void End() => index.Remove(Replica);
}

using Granary.GrainInterfaces.Replicas;

namespace Granary.Routing.Kv;

/// <summary>Takes the events of one life's cache into the index, each once and in order, whatever is lost, doubled or late.</summary>
/// <remarks>After a gap nothing is taken but a snapshot; until then what was known stays: most of it is true.</remarks>
public sealed class ReplicaEvents(KvIndex index)
{
    private long _next;

    /// <summary>The life's number in the index.</summary>
    public int Replica { get; } = index.Add();

    /// <summary>Blocks that it has, those in several tiers counted in each.</summary>
    public long Blocks { get; private set; }

    /// <summary>Whether events are missing, so that only all of them or a snapshot will do.</summary>
    public bool HasGap { get; private set; }

    /// <summary>What to ask the replica for: the event that comes next, or 0 after a gap.</summary>
    public long Wanted => HasGap ? 0 : _next;

    /// <returns><see langword="false"/> when they were known or too late, or events before them are missing: then ask for <see cref="Wanted"/>.</returns>
    public bool Take(KvEvents events)
    {
        if (events.IsSnapshot)
        {
            if (events.Next >= 0 && events.Next < _next) return false; // It was overtaken.
            index.Apply(Replica, events);
            Blocks = 0;
        }
        else if (events.First < 0)
        {
            if (events.First != _next) return false; // A page of a snapshot that is not being read.
            index.Apply(Replica, events);
        }
        else
        {
            if (events.Next < _next || (HasGap && events.First > 0)) return false;
            if (events.First > _next)
            {
                HasGap = true;
                return false;
            }

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

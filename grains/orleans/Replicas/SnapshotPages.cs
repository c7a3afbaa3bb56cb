using Granary.Engine.Kv;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>Cuts snapshots of a large KV cache into pages, and keeps those that are being read.</summary>
/// <remarks>A page is named by a negative number, the snapshot's own times <see cref="MaxPages"/> plus its place. Safe for any thread.</remarks>
internal sealed class SnapshotPages
{
    /// <summary>Snapshots kept at a time, of eight bytes a block each. A reader whose snapshot has gone gets a new one.</summary>
    internal const int MaxSnapshots = 4;

    private const long MaxPages = 1 << 20;

    private readonly Lock _gate = new();
    private readonly Queue<(long Number, KvEvents Whole)> _kept = new();
    private long _lastNumber;

    /// <summary>The events themselves, or the first page where that is not all of them.</summary>
    public KvEvents Split(KvEventBatch batch)
    {
        var events = KvNews.Of(batch);
        if (events.Blocks.Length <= KvEvents.MaxBlocks) return events;
        lock (_gate)
        {
            _kept.Enqueue((++_lastNumber, events));
            if (_kept.Count > MaxSnapshots) _kept.Dequeue();
            return PageOf(_lastNumber, events, 0);
        }
    }

    /// <summary>A further page; null where its snapshot is kept no more.</summary>
    /// <param name="name">Negative: what the page before said comes next.</param>
    public KvEvents? Find(long name)
    {
        if (name == long.MinValue) return null; // Has no opposite.
        var (number, page) = Math.DivRem(-name, MaxPages);
        lock (_gate)
        {
            foreach (var (kept, whole) in _kept)
            {
                if (kept == number && page * KvEvents.MaxBlocks < whole.Blocks.Length) return PageOf(number, whole, (int)page);
            }

            return null;
        }
    }

    private static KvEvents PageOf(long number, KvEvents whole, int page)
    {
        var first = page * KvEvents.MaxBlocks;
        var end = Math.Min(first + KvEvents.MaxBlocks, whole.Blocks.Length);
        return new KvEvents
        {
            First = page == 0 ? 0 : NameOf(page),
            Next = end == whole.Blocks.Length ? whole.Next : NameOf(page + 1),
            IsSnapshot = page == 0,
            Runs = RunsOf(whole.Runs, first, end),
            Blocks = whole.Blocks[first..end],
        };

        long NameOf(int page) => -((number * MaxPages) + page);
    }

    /// <summary>The parts of runs that fall to the blocks of a page.</summary>
    private static KvRun[] RunsOf(KvRun[] runs, int first, int end)
    {
        var parts = new List<KvRun>();
        var begin = 0;
        foreach (var run in runs)
        {
            var count = Math.Min(begin + run.Count, end) - Math.Max(begin, first);
            if (count > 0) parts.Add(run with { Count = count });
            begin += run.Count;
        }

        return [.. parts];
    }
}

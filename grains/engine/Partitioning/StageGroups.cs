namespace Granary.Engine.Partitioning;

/// <summary>Workers that could be a stage together, one a rank, and how many layers they would take.</summary>
internal sealed class StageGroup
{
    private static readonly StageRole MiddleRole = new(false, false), FirstRole = new(true, false), LastRole = new(false, true), BothRole = new(true, true);

    private readonly (StageTime Time, int Fit)[] _roles;

    public StageGroup(Cut cut, int[] workers, long[] free, int[] shards)
    {
        Workers = workers;
        _roles = [.. new[] { MiddleRole, FirstRole, LastRole, BothRole }.Select(role => (cut.Time(workers, shards, role), cut.LayersThatFit(free, role)))];
    }

    /// <summary>[T], the strongest first.</summary>
    public int[] Workers { get; }

    public int Middle(double seconds) => Layers(0, seconds);

    public int First(double seconds) => Layers(1, seconds);

    public int Last(double seconds) => Layers(2, seconds);

    public int Both(double seconds) => Layers(3, seconds);

    /// <summary>With all layers it could take, whatever it is.</summary>
    public double MostSeconds => _roles.Max(role => role.Fit < 1 ? 0 : role.Time.Seconds(role.Fit));

    private int Layers(int role, double seconds) => _roles[role].Time.LayersWithin(seconds, _roles[role].Fit);
}

/// <summary>Ways of putting workers together into groups of T.</summary>
internal static class StageGroups
{
    /// <summary>What comes first in a group: memory, or speed.</summary>
    public enum By
    {
        Memory,
        Speed,
    }

    /// <summary>Groups within hosts, of what is left within zones, of what is left then anyhow.</summary>
    /// <param name="perWorker">Most shards of one worker.</param>
    public static List<StageGroup> Near(Cut cut, IReadOnlyList<int> workers, int perWorker, By by)
    {
        var groups = new List<StageGroup>();
        var slots = Slots(cut, workers, perWorker, by);
        slots = Take(cut, groups, slots, slot => cut.Sites.Host(slot.Worker));
        slots = Take(cut, groups, slots, slot => cut.Sites.Zone(slot.Worker));
        Take(cut, groups, slots, _ => 0);
        return groups;
    }

    /// <summary>The strongest together, wherever they are.</summary>
    public static List<StageGroup> Alike(Cut cut, IReadOnlyList<int> workers, int perWorker, By by)
    {
        var groups = new List<StageGroup>();
        Take(cut, groups, Slots(cut, workers, perWorker, by), _ => 0);
        return groups;
    }

    /// <returns>What is left over.</returns>
    private static List<Slot> Take(Cut cut, List<StageGroup> groups, List<Slot> slots, Func<Slot, int> place)
    {
        var left = new List<Slot>();
        foreach (var near in slots.GroupBy(place))
        {
            foreach (var chunk in near.Chunk(cut.Ranks))
            {
                if (chunk.Length < cut.Ranks)
                    left.AddRange(chunk);
                else
                    groups.Add(new StageGroup(cut, [.. chunk.Select(slot => slot.Worker)], [.. chunk.Select(slot => slot.Free)], [.. chunk.Select(slot => slot.Shards)]));
            }
        }

        return left;
    }

    /// <summary>Places for shards, the strongest first; a worker's second place comes after the first of all others.</summary>
    private static List<Slot> Slots(Cut cut, IReadOnlyList<int> workers, int perWorker, By by)
    {
        var slots = new List<Slot>();
        foreach (var worker in workers)
        {
            var shards = Math.Min(perWorker, cut.Sites.Slots[worker]);
            if (shards < 1) continue;
            var free = cut.Sites.All[worker].FreeBytes / shards;
            var layers = Math.Max(0, free - cut.FixedBytes(cut.Ranks - 1, default)) / cut.LayerBytes(0);
            var speed = Math.Min(
                cut.Sites.BytesPerSecond(worker, shards) / cut.Costs[0].LayerWeightBytes, cut.Sites.FlopsPerSecond(worker, shards) / (RankCosts.Rows * cut.Costs[0].LayerMultiplyAdds));
            for (var turn = 0; turn < shards; turn++) slots.Add(new Slot(worker, turn, shards, free, Math.Min(layers, cut.Model.LayerCount), speed));
        }

        // Stable: equals stay in the order of their keys.
        return [.. by == By.Memory
            ? slots.OrderBy(slot => slot.Turn).ThenByDescending(slot => slot.Layers).ThenByDescending(slot => slot.Free).ThenByDescending(slot => slot.Speed)
            : slots.OrderBy(slot => slot.Turn).ThenByDescending(slot => slot.Speed).ThenByDescending(slot => slot.Layers)];
    }

    private readonly record struct Slot(int Worker, int Turn, int Shards, long Free, long Layers, double Speed);
}

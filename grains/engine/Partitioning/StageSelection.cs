namespace Granary.Engine.Partitioning;

/// <summary>Chooses P of many groups, and their order.</summary>
internal static class StageSelection
{
    // Finer than measured speeds are.
    private const double Tolerance = 0.002;

    // Of the groups, those that are worth trying as first and as last stage.
    private const int Tried = 4;

    /// <summary>The groups with which the slowest stage is about as fast as it can be, ordered so that neighbours are near each other.</summary>
    /// <returns>[P][T]; null where no P of them have room for all layers.</returns>
    public static int[][]? Choose(Cut cut, List<StageGroup> groups)
    {
        if (groups.Count < cut.Stages) return null;
        var high = groups.Max(group => group.MostSeconds);
        if (Choose(cut, groups, high) is not { } chosen) return null;
        var low = 0.0;
        while (high - low > Tolerance * high)
        {
            var seconds = (low + high) / 2;
            if (Choose(cut, groups, seconds) is { } faster)
                (chosen, high) = (faster, seconds);
            else
                low = seconds;
        }

        return Order(cut, chosen);
    }

    /// <returns>First, last, then the others; null where they do not reach all layers within that time.</returns>
    private static StageGroup[]? Choose(Cut cut, List<StageGroup> groups, double seconds)
    {
        if (cut.Stages == 1) return groups.FirstOrDefault(group => group.Both(seconds) >= cut.Model.LayerCount) is { } single ? [single] : null;

        // Stable: of equals those come first that stand together in the list.
        var capacities = groups.Select(group => (Group: group, Middle: group.Middle(seconds))).OrderByDescending(group => group.Middle).ToArray();
        var top = capacities.AsSpan(0, cut.Stages);
        var firsts = Candidates(top, capacities, group => group.First(seconds));
        var lasts = Candidates(top, capacities, group => group.Last(seconds));
        StageGroup[]? best = null;
        var most = cut.Model.LayerCount - 1L;
        foreach (var first in firsts)
        {
            foreach (var last in lasts)
            {
                if (first == last) continue;
                long sum = first.First(seconds) + last.Last(seconds);
                var middles = cut.Stages - 2;
                foreach (var (group, middle) in capacities)
                {
                    if (middles == 0) break;
                    if (group == first || group == last) continue;
                    if (middle < 1) break;
                    sum += middle;
                    middles--;
                }

                if (middles > 0 || sum <= most) continue;
                most = sum;
                best = [first, last, .. capacities.Select(entry => entry.Group).Where(group => group != first && group != last).Take(cut.Stages - 2)];
                if (most >= 2L * cut.Model.LayerCount) return best;
            }
        }

        return best;
    }

    /// <summary>Those that lose least by not being in the middle, and those that take most of all.</summary>
    private static List<StageGroup> Candidates(ReadOnlySpan<(StageGroup Group, int Middle)> top, (StageGroup Group, int Middle)[] all, Func<StageGroup, int> layers)
    {
        var inner = top.ToArray().Select(entry => (entry.Group, Layers: layers(entry.Group), entry.Middle)).Where(entry => entry.Layers >= 1);
        var outer = all.Skip(top.Length).Select(entry => (entry.Group, Layers: layers(entry.Group))).Where(entry => entry.Layers >= 1);
        return
        [
            .. inner.OrderBy(entry => entry.Middle - entry.Layers).Take(Tried).Select(entry => entry.Group),
            .. outer.OrderByDescending(entry => entry.Layers).Take(Tried).Select(entry => entry.Group),
        ];
    }

    /// <summary>From the first stage always on to the nearest, and the last at the end.</summary>
    private static int[][] Order(Cut cut, StageGroup[] chosen)
    {
        var order = new List<int[]> { chosen[0].Workers };
        var left = chosen.Skip(2).Select(group => group.Workers).ToList();
        while (left.Count > 0)
        {
            var next = 0;
            for (var i = 1; i < left.Count; i++)
            {
                if (cut.Between(order[^1], left[i]) < cut.Between(order[^1], left[next])) next = i;
            }

            order.Add(left[next]);
            left.RemoveAt(next);
        }

        if (chosen.Length > 1) order.Add(chosen[1].Workers);
        return [.. order];
    }
}

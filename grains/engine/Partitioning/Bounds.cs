namespace Granary.Engine.Partitioning;

/// <summary>What no placement of so many ranks can exceed, whatever the number of stages: most cuts that cannot fit are told apart at once.</summary>
internal sealed class Bounds
{
    private readonly long[] _most;

    /// <param name="cut">The ranks; its stages do not matter.</param>
    public Bounds(Cut cut)
    {
        Cut = cut;
        // The last rank is the smallest, and a stage in the middle is smaller than one at an end.
        var (layer, constant) = (cut.LayerBytes(cut.Ranks - 1), cut.FixedBytes(cut.Ranks - 1, default));
        var parts = Enumerable.Range(0, cut.Sites.All.Length).Where(worker => cut.Sites.Slots[worker] > 0)
            .Select(worker => Math.Max(0, cut.Sites.All[worker].FreeBytes - constant) / layer).OrderDescending();
        var sum = 0L;
        _most = [0, .. parts.Select(part => sum += Math.Min(part, (long)cut.Model.LayerCount * cut.Ranks))];
    }

    public Cut Cut { get; }

    /// <summary>Whether even the largest workers, one for each shard, have too little room for all ranks of all layers.</summary>
    public bool Forbid(int stages) => _most[Math.Min(stages * Cut.Ranks, _most.Length - 1)] < (long)Cut.Model.LayerCount * Cut.Ranks;
}

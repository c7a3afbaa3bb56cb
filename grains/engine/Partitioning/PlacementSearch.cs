namespace Granary.Engine.Partitioning;

/// <summary>Tries every placement of a small replica on few workers, so that what fits only in an odd way is found, and a refusal is a proof.</summary>
internal sealed class PlacementSearch
{
    private readonly Cut _cut;
    private readonly int[] _workers;
    private readonly long[] _free;
    private readonly int[] _slots;
    private readonly int[][] _placed;
    private readonly int[] _layers;
    private readonly HashSet<string> _dead = [];
    private int _nodes;

    private PlacementSearch(Cut cut, int nodes)
    {
        _cut = cut;
        _nodes = nodes;
        _workers = [.. Enumerable.Range(0, cut.Sites.All.Length).Where(worker => cut.Sites.Slots[worker] > 0).OrderByDescending(worker => cut.Sites.All[worker].FreeBytes)];
        _free = [.. cut.Sites.All.Select(worker => worker.FreeBytes)];
        _slots = [.. cut.Sites.Slots];
        _placed = [.. Enumerable.Range(0, cut.Stages).Select(_ => new int[cut.Ranks])];
        _layers = new int[cut.Stages];
    }

    /// <param name="cut">What to place.</param>
    /// <param name="nodes">Most shards that are put somewhere; what is left of it afterwards.</param>
    /// <returns>A placement that fits; null where there is none, or the bound was met.</returns>
    public static Placement? Find(Cut cut, ref int nodes)
    {
        var search = new PlacementSearch(cut, nodes);
        var found = search.Stage(0, cut.Model.LayerCount);
        nodes = search._nodes;
        if (!found) return null;
        // Where the balance of layers finds room too, it is the faster one.
        return Placement.Balance(cut, search._placed) ?? Placement.Of(cut, search._placed, search._layers);
    }

    private bool Stage(int stage, int layersLeft)
    {
        if (stage == _cut.Stages) return true;
        if (Key(stage, layersLeft) is var key && _dead.Contains(key)) return false;
        var most = layersLeft - (_cut.Stages - stage - 1);
        var least = stage == _cut.Stages - 1 ? layersLeft : 1;
        // From the middle outwards: balanced ones first.
        foreach (var layers in Enumerable.Range(least, most - least + 1).OrderBy(layers => Math.Abs((layers * (_cut.Stages - stage)) - layersLeft)))
        {
            _layers[stage] = layers;
            if (Rank(stage, 0, layers, layersLeft)) return true;
            if (_nodes <= 0) return false;
        }

        _dead.Add(key);
        return false;
    }

    private bool Rank(int stage, int rank, int layers, int layersLeft)
    {
        if (rank == _cut.Ranks) return Stage(stage + 1, layersLeft - layers);
        var bytes = _cut.FixedBytes(rank, StageRole.Of(stage, _cut.Stages)) + (layers * _cut.LayerBytes(rank));
        for (var i = 0; i < _workers.Length; i++)
        {
            var worker = _workers[i];
            if (_slots[worker] == 0 || _free[worker] < bytes || IsLikeAnEarlierOne(i)) continue;
            if (--_nodes <= 0) return false;
            (_placed[stage][rank], _free[worker], _slots[worker]) = (worker, _free[worker] - bytes, _slots[worker] - 1);
            if (Rank(stage, rank + 1, layers, layersLeft)) return true;
            (_free[worker], _slots[worker]) = (_free[worker] + bytes, _slots[worker] + 1);
        }

        return false;
    }

    // Of workers that could take the same from here on, one is tried.
    private bool IsLikeAnEarlierOne(int index)
    {
        for (var i = 0; i < index; i++)
        {
            if (_free[_workers[i]] == _free[_workers[index]] && _slots[_workers[i]] == _slots[_workers[index]]) return true;
        }

        return false;
    }

    private string Key(int stage, int layersLeft) =>
        $"{stage} {layersLeft} {string.Join(' ', _workers.Select(worker => (_free[worker], _slots[worker])).Order().Select(left => $"{left.Item1:x} {left.Item2}"))}";
}

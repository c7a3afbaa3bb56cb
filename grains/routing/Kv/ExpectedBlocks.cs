namespace Granary.Routing.Kv;

/// <summary>Blocks that requests on their way will bring to replicas: until they are stored, or the requests end.</summary>
/// <remarks>A request expects what its replica did not have and nobody else expected, so what is left of it is one run at any time. Not safe for several threads.</remarks>
internal sealed class ExpectedBlocks
{
    private readonly HashSet<(ulong Block, int Replica)> _blocks = [];

    public int Count => _blocks.Count;

    public void Add(int replica, ReadOnlySpan<ulong> blocks)
    {
        foreach (var block in blocks) _blocks.Add((block, replica));
    }

    /// <summary>They will not come, or have come.</summary>
    public void Remove(int replica, ReadOnlySpan<ulong> blocks)
    {
        if (_blocks.Count == 0) return;
        foreach (var block in blocks) _blocks.Remove((block, replica));
    }

    /// <summary>How many of a prompt's blocks are expected, from a place on without a gap.</summary>
    public int Match(int replica, ReadOnlySpan<ulong> blocks, int from)
    {
        if (_blocks.Count == 0 || from >= blocks.Length || !_blocks.Contains((blocks[from], replica))) return 0;
        var (known, end) = (from, blocks.Length);
        while (end - known > 1)
        {
            var middle = known + (end - known) / 2;
            if (_blocks.Contains((blocks[middle], replica))) known = middle;
            else end = middle;
        }

        return known + 1 - from;
    }
}

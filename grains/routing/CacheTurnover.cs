namespace Granary.Routing;

/// <summary>How old the blocks are that a replica's cache gives up next, as if it gave up what it stored first: as long as it took to store as much as it holds.</summary>
/// <remarks>A chain of times and counts, thinned to a sixty-fourth of the capacity: a few hundred bytes for each replica.</remarks>
internal sealed class CacheTurnover(TimeProvider time)
{
    private const int Steps = 64;

    private readonly Queue<(long At, long Stored)> _marks = new();
    private long _stored;
    private long _marked;

    /// <summary>So many blocks were stored since the last time.</summary>
    /// <param name="capacity">Blocks that the cache holds.</param>
    public void Add(int blocks, long capacity)
    {
        _stored += blocks;
        if (_stored - _marked < capacity / Steps) return;
        _marks.Enqueue((time.GetTimestamp(), _stored));
        _marked = _stored;
        while (_marks.TryPeek(out var oldest) && oldest.Stored < _stored - capacity) _marks.Dequeue();
    }

    /// <returns>Seconds; infinity while the cache was not filled once.</returns>
    public double Age(long capacity) =>
        _stored < capacity || !_marks.TryPeek(out var oldest) ? double.PositiveInfinity : time.GetElapsedTime(oldest.At).TotalSeconds;
}

namespace Granary.Routing;

/// <summary>Ids of bookings that were given back: a request that comes after its own release, by whatever way it took, books nothing.</summary>
/// <remarks>Not safe for several threads. It remembers for longer than a call may be under way, and as many as may be open.</remarks>
internal sealed class EndedBookings(RoutingSettings settings, TimeProvider time)
{
    private static readonly TimeSpan Memory = TimeSpan.FromSeconds(10);

    private readonly HashSet<Guid> _ids = [];
    private readonly Queue<(Guid Id, long At)> _byAge = new(); // Oldest first.

    public void Add(Guid id)
    {
        while (_byAge.TryPeek(out var oldest) && (_byAge.Count >= settings.MaxBookings || time.GetElapsedTime(oldest.At) >= Memory)) _ids.Remove(_byAge.Dequeue().Id);
        if (_ids.Add(id)) _byAge.Enqueue((id, time.GetTimestamp()));
    }

    public bool Contains(Guid id) => _ids.Contains(id);
}

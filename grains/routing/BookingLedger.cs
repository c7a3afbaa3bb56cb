using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>The requests that were sent somewhere and have not been given back, and which of them a load report already shows.</summary>
/// <remarks>Not safe for several threads. Each booking ends by release, with its life, or by its lease.</remarks>
public sealed class BookingLedger(RoutingSettings settings, TimeProvider time)
{
    private readonly Dictionary<Guid, Entry> _entries = [];
    private readonly Dictionary<ReplicaLife, Tally> _tallies = [];
    private readonly Dictionary<string, LinkedList<Entry>> _groups = new(StringComparer.Ordinal); // Oldest first, none empty.
    private readonly LinkedList<Entry> _byAge = new(); // Oldest first.

    /// <summary>Told of each booking that has ended, however it did.</summary>
    public Action<Booking>? Ended { get; init; }

    public int Count => _entries.Count;

    public bool IsFull => _entries.Count >= settings.MaxBookings;

    /// <exception cref="InvalidOperationException">The ledger is full, or has a booking of that id.</exception>
    public void Book(Booking booking)
    {
        if (IsFull) throw new InvalidOperationException($"{_entries.Count} requests are booked; that is the most.");
        var entry = new Entry(booking, time.GetTimestamp());
        if (!_entries.TryAdd(booking.Id, entry)) throw new InvalidOperationException($"Booking {booking.Id} is open already.");
        if (!_tallies.TryGetValue(booking.Replica, out var tally)) _tallies.Add(booking.Replica, tally = new Tally());
        entry.Age = _byAge.AddLast(entry);
        entry.Unseen = tally.Unseen.AddLast(entry);
        tally.Requests++;
        tally.UnseenWork += booking.Work;
        if (booking.Request.Group is not { } group) return;

        if (!_groups.TryGetValue(group, out var members)) _groups.Add(group, members = new());
        entry.Place = members.AddLast(entry);
    }

    /// <returns>Null where there is none of this id, or it had ended.</returns>
    public Booking? Find(Guid id) => _entries.GetValueOrDefault(id)?.Booking;

    /// <returns>What was booked; null where it had ended.</returns>
    public Booking? Release(Guid id)
    {
        if (!_entries.Remove(id, out var entry)) return null;
        var booking = entry.Booking;
        _byAge.Remove(entry.Age);
        var tally = _tallies[booking.Replica];
        See(tally, entry);
        if (--tally.Requests == 0) _tallies.Remove(booking.Replica);
        if (booking.Request.Group is { } group)
        {
            var members = _groups[group];
            members.Remove(entry.Place!);
            if (members.Count == 0) _groups.Remove(group);
        }

        Ended?.Invoke(booking);
        return booking;
    }

    /// <summary>Where the oldest booking of the group went; null when it has none.</summary>
    public ReplicaLife? HomeOf(string? group) =>
        group is not null && _groups.TryGetValue(group, out var members) ? members.First!.Value.Booking.Replica : null;

    /// <summary>A report has come: what was booked long enough before it was asked for is in its figures.</summary>
    /// <param name="askedAt">Timestamp of the question.</param>
    public void Reported(ReplicaLife replica, long askedAt)
    {
        if (!_tallies.TryGetValue(replica, out var tally)) return;
        while (tally.Unseen.First is { } oldest && time.GetElapsedTime(oldest.Value.BookedAt, askedAt) >= settings.SettleTime) See(tally, oldest.Value);
    }

    /// <summary>Bookings whose lease is over end; the oldest come first, so this touches no others.</summary>
    /// <returns>How many ended so.</returns>
    public int Expire()
    {
        var expired = 0;
        while (_byAge.First is { } oldest && time.GetElapsedTime(oldest.Value.BookedAt) >= settings.BookingLease)
        {
            Release(oldest.Value.Booking.Id);
            expired++;
        }

        return expired;
    }

    /// <summary>The life is gone, and its bookings with it.</summary>
    public void Drop(ReplicaLife replica)
    {
        if (!_tallies.ContainsKey(replica)) return;
        foreach (var entry in _byAge.Where(entry => entry.Booking.Replica == replica).ToList()) Release(entry.Booking.Id);
    }

    public int BookedRequests(ReplicaLife replica) => _tallies.TryGetValue(replica, out var tally) ? tally.Requests : 0;

    /// <summary>What is booked there and not in its last report.</summary>
    public BookedWork Unseen(ReplicaLife replica) => _tallies.TryGetValue(replica, out var tally) ? tally.UnseenWork : default;

    private static void See(Tally tally, Entry entry)
    {
        if (entry.Unseen is null) return;
        tally.Unseen.Remove(entry.Unseen);
        entry.Unseen = null;
        tally.UnseenWork = tally.Unseen.Count == 0 ? default : tally.UnseenWork - entry.Booking.Work; // Sums of seconds do not drift.
    }

    private sealed class Entry(Booking booking, long bookedAt)
    {
        public Booking Booking => booking;

        public long BookedAt => bookedAt;

        /// <summary>Its place in its group; null without one.</summary>
        public LinkedListNode<Entry>? Place { get; set; }

        /// <summary>Its place among those of its replica that no report shows; null once one does.</summary>
        public LinkedListNode<Entry>? Unseen { get; set; }

        /// <summary>Its place among all bookings.</summary>
        public LinkedListNode<Entry> Age { get; set; } = null!; // Set when it is entered.
    }

    private sealed class Tally
    {
        public LinkedList<Entry> Unseen { get; } = new(); // Oldest first.

        public int Requests { get; set; }

        public BookedWork UnseenWork { get; set; }
    }
}

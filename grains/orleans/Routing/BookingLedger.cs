using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Routing;

/// <summary>The requests that were sent somewhere and have not been given back, and which of them a load report already shows.</summary>
/// <remarks>Not safe for several threads. Each booking ends by release, with its life, or by its lease.</remarks>
internal sealed class BookingLedger(RouterOptions options, TimeProvider time)
{
    private readonly Dictionary<Guid, Booking> _bookings = [];
    private readonly Dictionary<ReplicaLife, Tally> _tallies = [];
    private readonly Dictionary<string, LinkedList<Booking>> _groups = new(StringComparer.Ordinal); // Oldest first, none empty.
    private readonly LinkedList<(Guid Id, Booking Booking)> _byAge = new(); // Oldest first.

    public int Count => _bookings.Count;

    public bool IsFull => _bookings.Count >= options.MaxBookings;

    /// <param name="group">Those that belong together; null for one of its own.</param>
    public Guid Book(ReplicaLife replica, int promptTokens, string? group = null)
    {
        var id = Guid.NewGuid();
        if (!_tallies.TryGetValue(replica, out var tally)) _tallies.Add(replica, tally = new Tally());
        tally.Bookings.Add(id);
        tally.UnseenRequests++;
        tally.UnseenPromptTokens += promptTokens;
        var booking = new Booking(replica, promptTokens, group, time.GetTimestamp());
        booking.Age = _byAge.AddLast((id, booking));
        _bookings.Add(id, booking);
        if (group is not null)
        {
            if (!_groups.TryGetValue(group, out var members)) _groups.Add(group, members = new());
            booking.Place = members.AddLast(booking);
        }

        return id;
    }

    public void Release(Guid id)
    {
        if (!_bookings.Remove(id, out var booking)) return;
        _byAge.Remove(booking.Age);
        var tally = _tallies[booking.Replica];
        tally.Bookings.Remove(id);
        See(tally, booking);
        if (tally.Bookings.Count == 0) _tallies.Remove(booking.Replica);
        if (booking.Group is null) return;

        var members = _groups[booking.Group];
        members.Remove(booking.Place!);
        if (members.Count == 0) _groups.Remove(booking.Group);
    }

    /// <summary>Where the oldest booking of the group went; null when it has none.</summary>
    public ReplicaLife? HomeOf(string? group) =>
        group is not null && _groups.TryGetValue(group, out var members) ? members.First!.Value.Replica : null;

    /// <summary>A report has come: what was booked long enough before it was asked for is in its figures.</summary>
    /// <param name="askedAt">Timestamp of the question.</param>
    public void Reported(ReplicaLife replica, long askedAt)
    {
        if (!_tallies.TryGetValue(replica, out var tally) || tally.UnseenRequests == 0) return;
        foreach (var id in tally.Bookings)
        {
            var booking = _bookings[id];
            if (time.GetElapsedTime(booking.BookedAt, askedAt) >= options.SettleTime) See(tally, booking);
        }
    }

    /// <summary>Bookings whose lease is over end; the oldest come first, so this touches no others.</summary>
    /// <returns>How many ended so.</returns>
    public int Expire()
    {
        var expired = 0;
        while (_byAge.First?.Value is var (id, booking) && time.GetElapsedTime(booking.BookedAt) >= options.BookingLease)
        {
            Release(id);
            expired++;
        }

        return expired;
    }

    /// <summary>The life is gone, and its bookings with it.</summary>
    public void Drop(ReplicaLife replica)
    {
        if (!_tallies.TryGetValue(replica, out var tally)) return;
        foreach (var id in tally.Bookings.ToList()) Release(id);
    }

    public int BookedRequests(ReplicaLife replica) => _tallies.TryGetValue(replica, out var tally) ? tally.Bookings.Count : 0;

    public (int Requests, long PromptTokens) Unseen(ReplicaLife replica) =>
        _tallies.TryGetValue(replica, out var tally) ? (tally.UnseenRequests, tally.UnseenPromptTokens) : (0, 0);

    private static void See(Tally tally, Booking booking)
    {
        if (booking.Seen) return;
        booking.Seen = true;
        tally.UnseenRequests--;
        tally.UnseenPromptTokens -= booking.PromptTokens;
    }

    private sealed class Booking(ReplicaLife replica, int promptTokens, string? group, long bookedAt)
    {
        public ReplicaLife Replica => replica;

        public int PromptTokens => promptTokens;

        public string? Group => group;

        /// <summary>Its place in its group; null without one.</summary>
        public LinkedListNode<Booking>? Place { get; set; }

        public long BookedAt => bookedAt;

        /// <summary>Its place among all bookings.</summary>
        public LinkedListNode<(Guid Id, Booking Booking)> Age { get; set; } = null!; // Set when it is entered.

        public bool Seen { get; set; }
    }

    private sealed class Tally
    {
        public HashSet<Guid> Bookings { get; } = [];

        public int UnseenRequests { get; set; }

        public long UnseenPromptTokens { get; set; }
    }
}

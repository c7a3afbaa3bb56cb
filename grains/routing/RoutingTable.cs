using System.Runtime.InteropServices;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Routing.Kv;

namespace Granary.Routing;

/// <summary>All that one router knows: the lives it may send to, their loads and caches, and what it has sent. Everything but the messages.</summary>
/// <remarks>
/// Nothing here has to survive: lives come from the model's grain, loads and caches from the replicas, and bookings that are lost are seen in the loads.
/// Not safe for several threads.
/// </remarks>
public sealed class RoutingTable
{
    private readonly RoutingSettings _settings;
    private readonly TimeProvider _time;
    private readonly IRoutingPolicy _policy;
    private readonly ReplicaChooser _chooser;
    private readonly BookingLedger _bookings;
    private readonly EndedBookings _ended;
    private readonly KvIndex _index = new();
    private readonly Dictionary<ReplicaLife, RoutedLife> _lives = [];
    private readonly List<RoutedLife> _order = [];
    private ReplicaView[] _views = [];
    private PrefixOverlap[] _overlaps = [];

    public RoutingTable(RoutingSettings settings, IRoutingPolicy policy, TimeProvider time)
    {
        (_settings, _policy, _time) = (settings, policy, time);
        _chooser = new(policy, settings);
        _bookings = new(settings, time) { Ended = Forget };
        _ended = new(settings, time);
    }

    public int Lives => _order.Count;

    public int Bookings => _bookings.Count;

    public bool IsFull => _bookings.IsFull;

    public RouterSnapshot Snapshot => new(
    [
        .. _order.Select(life => new RoutedReplica(life.Life, _bookings.BookedRequests(life.Life), life.Load)
        {
            IsReachable = life.IsReachable,
            KnownBlocks = life.Events.Blocks,
            LagSeconds = life.HeardAt is { } heard ? _time.GetElapsedTime(heard).TotalSeconds : null,
        }),
    ]);

    /// <summary>Takes the lives that there are; of those that are gone, bookings and caches go too.</summary>
    public void Adopt(IEnumerable<ReplicaDescriptor> replicas)
    {
        var adopted = replicas.DistinctBy(replica => replica.Replica).ToList();
        var ids = adopted.Select(replica => replica.Replica).ToHashSet();
        foreach (var gone in _order.Where(life => !ids.Contains(life.Life)).ToList())
        {
            _bookings.Drop(gone.Life);
            _policy.Removed(gone.Life);
            gone.Events.End();
            _lives.Remove(gone.Life);
        }

        _order.Clear();
        foreach (var replica in adopted)
        {
            if (!_lives.TryGetValue(replica.Replica, out var life)) _lives.Add(replica.Replica, life = new RoutedLife(replica, new(_index)));
            _order.Add(life);
        }
    }

    public bool Knows(ReplicaLife replica) => _lives.ContainsKey(replica);

    /// <summary>What of its cache is not known: what to ask for. 0 for a life that is unknown.</summary>
    public long WantedEvent(ReplicaLife replica) => _lives.TryGetValue(replica, out var life) ? life.Events.Wanted : 0;

    /// <summary>A replica has told its load and what has changed in its cache.</summary>
    /// <param name="askedAt">Timestamp of the question.</param>
    /// <returns>Whether the replica has more to tell: then ask again at once.</returns>
    public bool Report(ReplicaLife replica, ReplicaNews news, long askedAt)
    {
        if (!_lives.TryGetValue(replica, out var life)) return false;
        if (askedAt >= life.LostAt) life.IsReachable = true;
        (life.Load, life.HeardAt) = (news.Load, _time.GetTimestamp());
        _bookings.Reported(replica, askedAt);
        life.Events.Take(news.Kv);
        return life.Events.IsBehind;
    }

    /// <summary>A replica did not answer. Nothing goes there until it does.</summary>
    /// <returns><see langword="false"/> when that was known.</returns>
    public bool Miss(ReplicaLife replica)
    {
        if (!_lives.TryGetValue(replica, out var life) || !life.IsReachable) return false;
        (life.IsReachable, life.LostAt) = (false, _time.GetTimestamp());
        return true;
    }

    /// <summary>Decides without sending: what would be, and why not.</summary>
    public RouteDecision Decide(RouteRequest request)
    {
        foreach (var lost in request.Lost) Miss(lost);
        return _chooser.Choose(View(request), request, _bookings.HomeOf(request.Group));
    }

    /// <summary>Decides, and books the request's load there at once.</summary>
    /// <param name="ticket">Null where there is no way.</param>
    /// <exception cref="InvalidOperationException">There are too many bookings; <see cref="IsFull"/> tells.</exception>
    public RouteDecision Route(RouteRequest request, Guid bookingId, out Ticket? ticket)
    {
        var decision = Decide(request);
        ticket = null;
        if (decision.Index < 0) return decision;

        ref readonly var view = ref _views[decision.Index];
        var life = _order[decision.Index];
        var cached = RouteCost.CachedTokens(view, request);
        var shares = life.Life == _bookings.HomeOf(request.Group); // The group's first pays for the prompt they share.
        var work = shares ? new BookedWork(1, 0, 0, 0) : new BookedWork(1, request.PromptTokens, request.PromptTokens - cached, decision.Cost.Prefill);
        var known = Blocks(life.Descriptor, request);
        ticket = new()
        {
            BookingId = bookingId,
            Replica = life.Life,
            PredictedWaitSeconds = decision.PredictedWaitSeconds,
            ExpectedCachedTokens = cached,
            BlockTokens = life.Descriptor.BlockTokens,
        };
        var booking = new Booking(ticket, request, work, Math.Min(view.Overlap.Blocks, known.Length));
        _bookings.Book(booking);
        _index.Expect(life.Events.Replica, known[booking.CachedBlocks..]);
        _policy.Booked(booking);
        return decision;
    }

    /// <summary>The ticket that a request was given before, where its answer may have been lost.</summary>
    /// <returns>Null where there is no open booking of that id, or nobody should go where it leads: then it is given back.</returns>
    public Ticket? Find(Guid bookingId, RouteRequest request)
    {
        if (_bookings.Find(bookingId) is not { } booking) return null;
        if (_lives[booking.Replica].IsReachable && Array.IndexOf(request.Excluded, booking.Replica) < 0) return booking.Ticket;
        _bookings.Release(bookingId);
        return null;
    }

    /// <summary>Gives a booking back, or one that is still to come.</summary>
    /// <returns>What was booked; null where nothing was.</returns>
    public Booking? Release(Guid bookingId)
    {
        _ended.Add(bookingId);
        return _bookings.Release(bookingId);
    }

    /// <summary>Whether a booking was given back a short while ago: its request is over.</summary>
    public bool HasEnded(Guid bookingId) => _ended.Contains(bookingId);

    /// <summary>Ends bookings that nobody gave back.</summary>
    /// <returns>How many.</returns>
    public int Expire() => _bookings.Expire();

    /// <summary>A replica with blocks of another size counts as having nothing.</summary>
    private static ReadOnlySpan<ulong> Blocks(ReplicaDescriptor replica, RouteRequest request) =>
        replica.BlockTokens == request.BlockTokens ? request.Blocks : [];

    private ReadOnlySpan<ReplicaView> View(RouteRequest request)
    {
        if (_views.Length < _order.Count) _views = new ReplicaView[_order.Count];
        if (_overlaps.Length < _index.NumberBound) _overlaps = new PrefixOverlap[_index.NumberBound];
        _index.Match(request.Blocks, _overlaps);
        var place = 0;
        foreach (var life in CollectionsMarshal.AsSpan(_order))
        {
            var overlap = life.Descriptor.BlockTokens == request.BlockTokens ? _overlaps[life.Events.Replica] : default;
            _views[place++] = new(life.Descriptor, life.Load, life.IsReachable, _bookings.BookedRequests(life.Life), _bookings.Unseen(life.Life), overlap);
        }

        return _views.AsSpan(0, place);
    }

    private void Forget(Booking booking)
    {
        var life = _lives[booking.Replica]; // Bookings end before their life does.
        _index.Forget(life.Events.Replica, Blocks(life.Descriptor, booking.Request)[booking.CachedBlocks..]);
        _policy.Released(booking);
    }

    /// <summary>One life and what was last heard of it.</summary>
    private sealed class RoutedLife(ReplicaDescriptor descriptor, ReplicaEvents events)
    {
        public ReplicaDescriptor Descriptor => descriptor;

        public ReplicaLife Life => descriptor.Replica;

        public ReplicaEvents Events => events;

        public ReplicaLoad? Load { get; set; }

        public bool IsReachable { get; set; } = true;

        /// <summary>When it last told something; null before that.</summary>
        public long? HeardAt { get; set; }

        /// <summary>When it was last found not to answer: answers to older questions prove nothing.</summary>
        public long LostAt { get; set; } = long.MinValue;
    }
}

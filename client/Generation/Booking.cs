using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>The load that a ticket stands for at the router; disposing it gives it back.</summary>
internal sealed class Booking(Ticket ticket, IRouterGrain router, BookingReturns returns) : IAsyncDisposable
{
    public Ticket Ticket => ticket;

    /// <summary>Who booked it.</summary>
    public IRouterGrain Router => router;

    /// <summary>Leading tokens that the replica had in its cache, as it told; null where it told nothing.</summary>
    public int? CachedTokens { get; set; }

    public async ValueTask DisposeAsync() => await returns.GiveBackAsync(router, ticket.BookingId, CachedTokens);
}

using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>A request that was sent to a replica and has not been given back.</summary>
/// <param name="Ticket">What its caller was told.</param>
/// <param name="Request">What was routed.</param>
/// <param name="Work">What the replica has to do for it, by what was believed then.</param>
/// <param name="CachedBlocks">Leading blocks of the request that the replica was expected to have.</param>
public sealed record Booking(Ticket Ticket, RouteRequest Request, BookedWork Work, int CachedBlocks)
{
    /// <summary>Whoever has it may give the booking back.</summary>
    public Guid Id => Ticket.BookingId;

    /// <summary>Where it went.</summary>
    public ReplicaLife Replica => Ticket.Replica;
}

using Granary.GrainInterfaces.Routing;

namespace Granary.Routing;

/// <summary>A request that was sent to a replica and has not been given back.</summary>
/// <param name="Id">Whoever has it may give the booking back.</param>
/// <param name="Replica">Where it went.</param>
/// <param name="Request">What was routed.</param>
/// <param name="Work">What the replica has to do for it, by what was believed then.</param>
/// <param name="CachedBlocks">Leading blocks of the request that the replica was expected to have.</param>
public sealed record Booking(Guid Id, ReplicaLife Replica, RouteRequest Request, BookedWork Work, int CachedBlocks);

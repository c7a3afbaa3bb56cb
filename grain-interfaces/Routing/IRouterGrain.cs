using Orleans;

namespace Granary.GrainInterfaces.Routing;

/// <summary>Sends each request of one model to the replica that will answer it soonest. Key: the model's name.</summary>
/// <remarks>It hands out tickets and leaves: tokens never pass through it. It is rebuilt from its replicas' reports.</remarks>
[Alias("granary.router")]
public interface IRouterGrain : IGrainWithStringKey
{
    /// <summary>Picks a replica and books the request's load on it at once.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No replica of the model is ready, or all are excluded.</exception>
    /// <exception cref="Errors.RequestRefusedException">The prompt is longer than any replica of the model can hold.</exception>
    [Alias("route")]
    Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default);

    /// <summary>Gives a booking back: the request ended, was refused, or its caller left. Unknown bookings are ignored.</summary>
    [ResponseTimeout("00:00:05"), Alias("release")]
    Task ReleaseAsync(Guid bookingId, CancellationToken cancellationToken = default);

    /// <summary>Replaces the set of replicas to choose from; bookings on lives that are gone are dropped.</summary>
    [Alias("set-replicas")]
    Task SetReplicasAsync(ReplicaDescriptor[] replicas, CancellationToken cancellationToken = default);

    /// <summary>What the router believes right now, for operators and tests.</summary>
    [Alias("snapshot")]
    Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default);
}

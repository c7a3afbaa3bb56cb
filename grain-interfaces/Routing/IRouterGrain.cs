using Orleans;
using Orleans.Concurrency;

namespace Granary.GrainInterfaces.Routing;

/// <summary>Sends each request of one model to the replica that will answer it soonest. Key: <c>silo/model</c> (<see cref="Cluster.GrainKeys.Router"/>).</summary>
/// <remarks>
/// Each silo with a gateway has one, on that silo; clients outside share <c>/model</c>, which is placed anywhere and again elsewhere when it is lost.
/// It hands out tickets and leaves: tokens never pass through it. It learns lives from the model's grain, loads and cache contents from the replicas.
/// </remarks>
[Alias("granary.router")]
public interface IRouterGrain : IGrainWithStringKey
{
    /// <summary>Picks a replica and books the request's load on it at once; asked again for an open booking (<see cref="RouteRequest.BookingId"/>), tells it again.</summary>
    /// <exception cref="Errors.ModelNotReadyException">No replica of the model is ready, or all are excluded.</exception>
    /// <exception cref="Errors.RequestRefusedException">The prompt is longer than any replica of the model can hold, or its booking has been given back before.</exception>
    /// <exception cref="Errors.RequestQuarantinedException">The request ended replicas a short while ago.</exception>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("route")]
    Task<Ticket> RouteAsync(RouteRequest request, CancellationToken cancellationToken = default);

    /// <summary>Gives a booking back: the request ended, was refused, or its caller left. One that is unknown may be on its way: it books nothing when it comes.</summary>
    /// <param name="cachedTokens">Leading prompt tokens that the replica had in its cache, as its first token told; null where none came.</param>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("release")]
    Task ReleaseAsync(Guid bookingId, int? cachedTokens = null, CancellationToken cancellationToken = default);

    /// <summary>A request ended replicas: no router of the model lets it through for a while.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("quarantine")]
    Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default);

    /// <summary>What the router believes right now, for operators and tests.</summary>
    [AlwaysInterleave, ResponseTimeout("00:00:05"), Alias("snapshot")]
    Task<RouterSnapshot> GetSnapshotAsync(CancellationToken cancellationToken = default);
}

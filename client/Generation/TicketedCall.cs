using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>Asks a replica that the model's router chose; one that turns the request away costs one other ticket, which excludes that life.</summary>
internal sealed partial class TicketedCall(IGrainFactory grains, ILogger logger)
{
    /// <summary>Tickets for one request: the first, and one other.</summary>
    private const int MaxTickets = 2;

    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    /// <param name="ask">Owns the booking it is given, whether it succeeds or not.</param>
    /// <returns>What the replica answered. Its errors come as the contract has them.</returns>
    public async Task<T> AskAsync<T>(string model, RouteRequest route, Func<Booking, Task<T>> ask, CancellationToken cancellationToken)
    {
        var router = grains.GetGrain<IRouterGrain>(model);
        Exception? rejection = null;
        for (var attempt = 1; ; attempt++)
        {
            Ticket ticket;
            try
            {
                ticket = await router.RouteAsync(route, cancellationToken);
            }
            catch (ModelNotReadyException) when (rejection is ReplicaSaturatedException)
            {
                throw rejection; // There are replicas; they are full. That is what the caller should hear.
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException)
            {
                throw new ModelNotReadyException($"The router of model '{model}' does not answer: {exception.GetType().Name}: {exception.Message}", RetryAfterSilence);
            }

            try
            {
                return await ask(new Booking(ticket, router, logger));
            }
            catch (Exception exception)
            {
                var rejected = StreamErrors.IsRejection(exception);
                var error = exception.GetType().Name;
                if (rejected) LogRejected(logger, route.RequestId, ticket.Replica.ReplicaId, ticket.Replica.Epoch, attempt, error);
                if (!rejected || attempt == MaxTickets)
                {
                    if (StreamErrors.ToContract(exception, ticket.Replica) is { } typed) throw typed;
                    throw;
                }

                rejection = exception;
            }

            route = route with { Excluded = [.. route.Excluded, ticket.Replica] };
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Request {RequestId} was turned away by {ReplicaId}, epoch {Epoch}, attempt {Attempt}: {Error}.")]
    private static partial void LogRejected(ILogger logger, string requestId, string replicaId, long epoch, int attempt, string error);
}

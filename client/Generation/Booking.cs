using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>The load that a ticket stands for at the router; disposing it gives it back.</summary>
internal sealed partial class Booking(Ticket ticket, IRouterGrain router, ILogger logger) : IAsyncDisposable
{
    public Ticket Ticket => ticket;

    public async ValueTask DisposeAsync()
    {
        try
        {
            await router.ReleaseAsync(ticket.BookingId, cancellationToken: CancellationToken.None);
        }
        catch (Exception exception)
        {
            // The answer is complete; the booking ends by its lease.
            LogReleaseFailed(logger, ticket.BookingId, exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Booking {BookingId} could not be given back.")]
    private static partial void LogReleaseFailed(ILogger logger, Guid bookingId, Exception exception);
}

using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>The load that a ticket stands for at the router; disposing it gives it back.</summary>
internal sealed partial class Booking(Ticket ticket, IRouterGrain router, TimeProvider time, ILogger logger) : IAsyncDisposable
{
    /// <summary>A router that does not answer holds nobody up: the booking ends by its lease.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(1);

    public Ticket Ticket => ticket;

    /// <summary>Leading tokens that the replica had in its cache, as it told; null where it told nothing.</summary>
    public int? CachedTokens { get; set; }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await router.ReleaseAsync(ticket.BookingId, CachedTokens, CancellationToken.None).WaitAsync(AnswerLimit, time);
        }
        catch (Exception exception)
        {
            LogReleaseFailed(logger, ticket.BookingId, exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Booking {BookingId} could not be given back.")]
    private static partial void LogReleaseFailed(ILogger logger, Guid bookingId, Exception exception);
}

using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>Gives bookings back, and again where the word of it was lost: until its lease a router would count work that nobody does.</summary>
internal sealed partial class BookingReturns(RetryPauses pauses, TimeProvider time, ILogger logger)
{
    /// <summary>A router that does not answer holds nobody up for longer.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(1);

    /// <summary>By then a router that was silent answers again, or its bookings were lost with it.</summary>
    private const int Attempts = 10;

    /// <summary>Gives a booking back that there may be; further attempts go on behind the first.</summary>
    public async Task GiveBackAsync(IRouterGrain router, Guid bookingId, int? cachedTokens = null)
    {
        if (await TryAsync(router, bookingId, cachedTokens) is not null) _ = GoOnAsync(router, bookingId, cachedTokens);
    }

    private async Task GoOnAsync(IRouterGrain router, Guid bookingId, int? cachedTokens)
    {
        Exception? failure = null;
        for (var attempt = 2; attempt <= Attempts; attempt++)
        {
            await Task.Delay(pauses.After(attempt), time);
            failure = await TryAsync(router, bookingId, cachedTokens);
            if (failure is null) return;
        }

        LogNotGivenBack(logger, bookingId, failure!);
    }

    /// <returns>What went wrong; null where it was given back.</returns>
    private async Task<Exception?> TryAsync(IRouterGrain router, Guid bookingId, int? cachedTokens)
    {
        try
        {
            await router.ReleaseAsync(bookingId, cachedTokens, CancellationToken.None).WaitAsync(AnswerLimit, time);
            return null;
        }
        catch (Exception exception)
        {
            return exception;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Booking {BookingId} could not be given back; it ends by its lease.")]
    private static partial void LogNotGivenBack(ILogger logger, Guid bookingId, Exception exception);
}

using System.Runtime.CompilerServices;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>The tokens of one ticket. Disposing it ends the generation and gives the booking back.</summary>
internal sealed partial class GenerationStream(
    Ticket ticket, IAsyncEnumerator<TokenChunk> chunks, IRouterGrain router, ILogger logger) : IAsyncDisposable
{
    private bool _first; // The first chunk was fetched and not taken.
    private bool _ended; // Or it turned out that there is none.

    public Ticket Ticket => ticket;

    public TokenChunk Current => chunks.Current;

    /// <summary>Waits until the replica has answered; its errors come unchanged.</summary>
    public async Task FetchFirstAsync()
    {
        _first = await chunks.MoveNextAsync();
        _ended = !_first;
    }

    /// <exception cref="GrainInterfaces.Errors.ReplicaFailedException">The replica was lost on the way.</exception>
    public ValueTask<bool> MoveNextAsync()
    {
        if (_ended) return new(false);
        if (!_first) return FetchAsync();
        _first = false;
        return new(true);
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await chunks.DisposeAsync();
        }
        finally
        {
            await ReleaseAsync();
        }
    }

    // Waits once for every token: the box of each wait goes back to a pool.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> FetchAsync()
    {
        try
        {
            return await chunks.MoveNextAsync();
        }
        catch (Exception exception) when (StreamErrors.ToContract(exception, ticket.Replica) is { } typed)
        {
            throw typed;
        }
    }

    private async Task ReleaseAsync()
    {
        try
        {
            await router.ReleaseAsync(ticket.BookingId, CancellationToken.None);
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

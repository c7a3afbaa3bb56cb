using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>The tokens of one ticket. Disposing it ends the generation and gives the booking back.</summary>
internal sealed class GenerationStream(Booking booking, TokenStream tokens) : IAsyncDisposable
{
    private bool _first; // The first chunk was fetched and not taken.
    private bool _ended; // Or it turned out that there is none.

    public Ticket Ticket => booking.Ticket;

    public TokenChunk Current => tokens.Current;

    /// <summary>Waits until the replica has answered; its errors come unchanged.</summary>
    public async Task FetchFirstAsync()
    {
        _first = await tokens.MoveNextAsync();
        _ended = !_first;
    }

    /// <exception cref="GrainInterfaces.Errors.ReplicaFailedException">The replica was lost on the way.</exception>
    public ValueTask<bool> MoveNextAsync()
    {
        if (_ended) return new(false);
        if (!_first) return tokens.MoveNextAsync();
        _first = false;
        return new(true);
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await tokens.DisposeAsync();
        }
        finally
        {
            await booking.DisposeAsync();
        }
    }
}

using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Bounds the requests in progress.</summary>
internal sealed class ConcurrencyLimit(IOptions<GranaryOptions> options)
{
    private readonly int _max = options.Value.Gateway.MaxConcurrentRequests;
    private int _inProgress;

    public int InProgress => Volatile.Read(ref _inProgress);

    /// <summary>Takes a place until the result is disposed.</summary>
    /// <exception cref="ApiException">All places are taken: 429.</exception>
    public Place Enter()
    {
        if (Interlocked.Increment(ref _inProgress) <= _max) return new(this);
        Interlocked.Decrement(ref _inProgress);
        throw ApiException.TooManyRequests($"{_max} requests are in progress, as many as this gateway takes.", TimeSpan.FromSeconds(1));
    }

    public readonly struct Place(ConcurrencyLimit limit) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref limit._inProgress);
    }
}

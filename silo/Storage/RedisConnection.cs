using StackExchange.Redis;

namespace Granary.Silo.Storage;

/// <summary>One connection to Redis for all states of the silo: made when it is first needed, and made again by itself when it breaks.</summary>
/// <remarks>Each asking has one bound, waiting for the connection included; nothing is tried twice here.</remarks>
internal sealed class RedisConnection(string settings, TimeSpan timeout, TimeProvider time) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private Task<ConnectionMultiplexer>? _opening;
    private bool _disposed;

    /// <exception cref="TimeoutException">There was no answer in time; what was asked may still be done.</exception>
    /// <exception cref="RedisException">Redis cannot be reached, or refuses.</exception>
    public Task<T> AskAsync<T>(Func<IDatabase, Task<T>> ask)
    {
        return RunAsync().WaitAsync(timeout, time);

        async Task<T> RunAsync() => await ask((await Open()).GetDatabase());
    }

    public async ValueTask DisposeAsync()
    {
        Task<ConnectionMultiplexer>? opening;
        lock (_gate)
        {
            _disposed = true;
            opening = _opening;
        }

        // One that is still being made is left to its own bound.
        if (opening is { IsCompletedSuccessfully: true }) (await opening).Dispose();
    }

    private Task<ConnectionMultiplexer> Open()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            // A failure is told to those who waited for it; the next tries anew.
            if (_opening is null or { IsFaulted: true } or { IsCanceled: true }) _opening = ConnectAsync();
            return _opening;
        }
    }

    private async Task<ConnectionMultiplexer> ConnectAsync()
    {
        var options = ConfigurationOptions.Parse(settings);
        options.AbortOnConnectFail = false; // It goes on trying, so that a silo may start before its Redis.
        options.ConnectTimeout = (int)timeout.TotalMilliseconds;
        options.ClientName ??= "granary-storage";
        var connection = await ConnectionMultiplexer.ConnectAsync(options);
        lock (_gate)
        {
            if (!_disposed) return connection;
        }

        connection.Dispose();
        throw new ObjectDisposedException(nameof(RedisConnection));
    }
}

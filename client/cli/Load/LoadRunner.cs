using System.Runtime.ExceptionServices;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>Makes the load: a closed loop keeps a number of requests under way, an open one sends when they are due, however slow the answers.</summary>
/// <remarks>
/// A request counts from when it was due, not from when it could be sent, so a server that stalls is charged for
/// every request that had to wait meanwhile. Nothing is kept of a request but its figures.
/// </remarks>
internal sealed class LoadRunner(LoadSettings settings, HttpMessageInvoker http, TimeProvider time)
{
    private const int WarmupConcurrency = 8;
    private readonly PromptSource _prompts = new(settings);
    private readonly LoadRequest _request = new(settings, http, time);

    /// <param name="begun">Told of the result before the first measured request, to watch it.</param>
    /// <param name="stop">Ends the run with what has been measured.</param>
    /// <exception cref="CliException">No warm-up request was answered.</exception>
    public async Task<LoadResult> RunAsync(Action<LoadResult>? begun, CancellationToken stop)
    {
        var result = new LoadResult(settings) { StartedAt = time.GetUtcNow() };
        try
        {
            await WarmUpAsync(stop);
            result = new LoadResult(settings) { StartedAt = time.GetUtcNow() };
            begun?.Invoke(result);
            if (settings.Rate is { } rate)
                await RunOpenAsync(result, rate, stop);
            else
                await RunClosedAsync(result, settings.Concurrency ?? 1, settings.Requests, settings.Duration, warmup: false, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            result.Interrupted = true;
        }

        return result;
    }

    private async Task WarmUpAsync(CancellationToken stop)
    {
        if (settings.Warmup == 0) return;
        var result = new LoadResult(settings with { Rows = false });
        await RunClosedAsync(result, Math.Min(settings.Concurrency ?? WarmupConcurrency, settings.Warmup), settings.Warmup, null, warmup: true, stop);
        if (result.Succeeded == 0)
            throw new CliException($"No warm-up request was answered: {string.Join(", ", result.Errors.Select(error => $"{error.Value} × {error.Key}"))}.");
    }

    private async Task RunClosedAsync(LoadResult result, int concurrency, int requests, TimeSpan? duration, bool warmup, CancellationToken stop)
    {
        var started = time.GetTimestamp();
        var next = -1;
        await Task.WhenAll(Enumerable.Range(0, concurrency).Select(_ => Task.Run(WorkAsync, stop)));

        async Task WorkAsync()
        {
            while (Interlocked.Increment(ref next) is var index && index < requests)
            {
                var body = _request.BodyOf(_prompts.Create(index, warmup));
                var due = time.GetTimestamp();
                if (time.GetElapsedTime(started, due) >= duration) return;
                result.Add(await _request.SendAsync(index, body, started, due, stop));
            }
        }
    }

    private async Task RunOpenAsync(LoadResult result, double rate, CancellationToken stop)
    {
        using var room = new SemaphoreSlim(settings.MaxConnections);
        var started = time.GetTimestamp();
        var index = 0;
        Exception? failure = null;
        try
        {
            foreach (var due in ArrivalTimes.Of(settings.Arrivals, rate, settings.Seed))
            {
                if (index == settings.Requests || due >= settings.Duration) break;
                var body = _request.BodyOf(_prompts.Create(index, warmup: false)); // Made ahead, so that it does not count.
                await WaitUntilAsync(started, due, stop);
                await room.WaitAsync(stop);
                var (number, timestamp) = (index++, started + (long)(due.TotalSeconds * time.TimestampFrequency));
                _ = Task.Run(() => SendAsync(number, body, timestamp), CancellationToken.None);
            }
        }
        finally
        {
            for (var i = 0; i < settings.MaxConnections; i++) await room.WaitAsync(CancellationToken.None); // All room is back when all have ended.
        }

        if (failure is not null) ExceptionDispatchInfo.Throw(failure);

        async Task SendAsync(int number, byte[] body, long due)
        {
            try
            {
                result.Add(await _request.SendAsync(number, body, started, due, stop));
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref failure, exception, null);
            }
            finally
            {
                room.Release();
            }
        }
    }

    /// <summary>Never early: a request sent before it is due would look faster than it was.</summary>
    private async Task WaitUntilAsync(long started, TimeSpan due, CancellationToken stop)
    {
        while (due - time.GetElapsedTime(started) is var left && left > TimeSpan.Zero)
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds)), time, stop); // Timers count whole milliseconds.
    }
}

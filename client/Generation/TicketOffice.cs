using System.Collections.Concurrent;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>Gets tickets from a model's routers: the one of this silo where there is one, and the shared one where that does not answer.</summary>
/// <param name="silo">The silo that this process' gateway is part of; null outside of silos.</param>
internal sealed partial class TicketOffice(
    IGrainFactory grains, string? silo, SurvivalOptions options, RetryPauses pauses, TimeProvider time, ILogger logger)
{
    /// <summary>For how long a router that does not answer is asked: by then one whose silo died lives elsewhere.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, int> _blockTokens = new(); // Of models that gave a ticket: few.

    /// <summary>Tokens of a block of the model's replicas, as its last ticket told.</summary>
    public int BlockTokensOf(string model) => _blockTokens.GetValueOrDefault(model, PromptBlocks.DefaultTokens);

    /// <exception cref="ModelNotReadyException">No replica is ready, or no router answers.</exception>
    public async Task<Booking> TakeAsync(string model, RouteRequest route, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        for (var failures = 1; ; failures++)
        {
            Exception silence = null!; // There is at least one router.
            foreach (var router in RoutersOf(model))
            {
                try
                {
                    return await AskAsync(router, model, route, cancellationToken);
                }
                catch (Exception exception) when (IsSilence(exception, cancellationToken))
                {
                    silence = exception;
                    LogSilent(logger, route.RequestId, model, exception.GetType().Name);
                }
            }

            if (time.GetElapsedTime(began) >= Patience)
                throw new ModelNotReadyException($"The router of model '{model}' does not answer: {silence.GetType().Name}: {silence.Message}", RetryAfterSilence);
            await Task.Delay(pauses.After(failures + 1), time, cancellationToken);
        }
    }

    /// <summary>Asks once.</summary>
    /// <returns>Null where nobody else is ready, or no router answers.</returns>
    public async Task<Booking?> TryTakeAsync(string model, RouteRequest route, CancellationToken cancellationToken)
    {
        try
        {
            return await AskAsync(RoutersOf(model)[0], model, route, cancellationToken);
        }
        catch (Exception exception) when (exception is GranaryException || IsSilence(exception, cancellationToken))
        {
            return null;
        }
    }

    /// <summary>Tells the model's routers that a request ended replicas. One that does not answer is not waited for: the next to hear of it tells the others.</summary>
    public async Task QuarantineAsync(string model, ulong fingerprint, string reason)
    {
        foreach (var router in RoutersOf(model))
        {
            var told = router.QuarantineAsync(fingerprint, reason).WaitAsync(options.AnswerLimit, time);
            await told.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (told.IsCompletedSuccessfully) return;
            LogNotQuarantined(logger, model, fingerprint, told.Exception!.InnerException!);
        }
    }

    private async Task<Booking> AskAsync(IRouterGrain router, string model, RouteRequest route, CancellationToken cancellationToken)
    {
        var asked = router.RouteAsync(route, cancellationToken);
        try
        {
            var ticket = await asked.WaitAsync(options.AnswerLimit, time, cancellationToken);
            _blockTokens[model] = ticket.BlockTokens;
            return new Booking(ticket, router, time, logger);
        }
        catch when (!asked.IsCompleted)
        {
            _ = GiveBackAsync();
            throw;
        }

        async Task GiveBackAsync()
        {
            await ((Task)asked).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (asked.IsCompletedSuccessfully) await new Booking(await asked, router, time, logger).DisposeAsync();
        }
    }

    private IRouterGrain[] RoutersOf(string model) => silo is null ? [Router(null, model)] : [Router(silo, model), Router(null, model)];

    private IRouterGrain Router(string? of, string model) => grains.GetGrain<IRouterGrain>(GrainKeys.Router(of, model));

    private static bool IsSilence(Exception exception, CancellationToken cancellationToken) =>
        exception is OrleansException or TimeoutException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId}: a router of model {Model} does not answer: {Error}.")]
    private static partial void LogSilent(ILogger logger, string requestId, string model, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A router of model {Model} could not be told to refuse requests of fingerprint {Fingerprint}.")]
    private static partial void LogNotQuarantined(ILogger logger, string model, ulong fingerprint, Exception exception);
}

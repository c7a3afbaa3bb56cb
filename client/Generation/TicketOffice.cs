using System.Collections.Concurrent;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>Gets tickets from a model's routers: the one of this silo where there is one, and the shared one where that does not answer.</summary>
/// <remarks>Outside of silos the shared one comes first. It may be lost with its silo, and the membership takes a second to find that; until then a router of a silo that tickets led to helps out.</remarks>
/// <param name="silo">The silo that this process' gateway is part of; null outside of silos.</param>
internal sealed partial class TicketOffice(
    IGrainFactory grains, string? silo, SurvivalOptions options, RetryPauses pauses, TimeProvider time, ILogger logger)
{
    /// <summary>For how long a router that does not answer is asked: by then one whose silo died lives elsewhere.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Silos that are remembered: one of them may be the one that was lost.</summary>
    private const int MostSilos = 4;

    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    private readonly BookingReturns _returns = new(pauses, time, logger);
    private volatile string[] _silos = []; // Used outside of silos only; a lost update costs nothing.
    private readonly ConcurrentDictionary<string, int> _blockTokens = new(); // Of models that gave a ticket: few.

    /// <summary>Tokens of a block of the model's replicas, as its last ticket told.</summary>
    public int BlockTokensOf(string model) => _blockTokens.GetValueOrDefault(model, PromptBlocks.DefaultTokens);

    /// <exception cref="ModelNotReadyException">No replica is ready, or no router answers.</exception>
    public Task<Booking> TakeAsync(string model, RouteRequest route, CancellationToken cancellationToken) =>
        BookAsync(route, (named, asked) => AskAllAsync(model, named, asked, cancellationToken));

    /// <summary>Asks once, and not for long: the caller's tokens wait meanwhile.</summary>
    /// <returns>Null where nobody else is ready, or no router answers.</returns>
    public async Task<Booking?> TryTakeAsync(string model, RouteRequest route, CancellationToken cancellationToken)
    {
        try
        {
            return await BookAsync(route, (named, asked) => AskAsync(RoutersOf(model, named)[0], model, named, options.SilenceLimit, asked, cancellationToken));
        }
        catch (Exception exception) when (exception is GranaryException || IsSilence(exception, cancellationToken))
        {
            return null;
        }
    }

    /// <summary>Has one booking made, however many routers are asked for it and however often.</summary>
    /// <param name="ask">Gets the route with the booking's id, and a set to which it adds the routers that may have booked it.</param>
    private async Task<Booking> BookAsync(RouteRequest route, Func<RouteRequest, HashSet<IRouterGrain>, Task<Booking>> ask)
    {
        var asked = new HashSet<IRouterGrain>();
        route = route with { BookingId = Guid.NewGuid() };
        try
        {
            var booking = await ask(route, asked);
            asked.Remove(booking.Router);
            return booking;
        }
        finally
        {
            foreach (var router in asked) _ = _returns.GiveBackAsync(router, route.BookingId);
        }
    }

    private async Task<Booking> AskAllAsync(string model, RouteRequest route, HashSet<IRouterGrain> asked, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        for (var failures = 1; ; failures++)
        {
            Exception silence = null!; // There is at least one router.
            var routers = RoutersOf(model, route);
            foreach (var router in routers)
            {
                try
                {
                    // Where there is another to ask, this one is not waited for as long.
                    return await AskAsync(router, model, route, router == routers[^1] ? options.AnswerLimit : options.SilenceLimit, asked, cancellationToken);
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

    /// <summary>Tells the model's routers that a request ended replicas. One that does not answer is not waited for: the next to hear of it tells the others.</summary>
    public async Task QuarantineAsync(string model, ulong fingerprint, string reason)
    {
        foreach (var router in RoutersOf(model, null))
        {
            var told = router.QuarantineAsync(fingerprint, reason).WaitAsync(options.AnswerLimit, time);
            await told.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (told.IsCompletedSuccessfully) return;
            LogNotQuarantined(logger, model, fingerprint, told.Exception!.InnerException!);
        }
    }

    private async Task<Booking> AskAsync(
        IRouterGrain router, string model, RouteRequest route, TimeSpan limit, HashSet<IRouterGrain> asked, CancellationToken cancellationToken)
    {
        asked.Add(router);
        try
        {
            var ticket = await router.RouteAsync(route, cancellationToken).WaitAsync(limit, time, cancellationToken);
            _blockTokens[model] = ticket.BlockTokens;
            Remember(GrainKeys.SiloOf(ticket.Replica.ReplicaId));
            return new Booking(ticket, router, _returns);
        }
        catch (GranaryException)
        {
            asked.Remove(router); // It said what it did: nothing.
            throw;
        }
    }

    /// <param name="route">Where nobody should be asked: on silos that the request has lost a life on.</param>
    private IRouterGrain[] RoutersOf(string model, RouteRequest? route)
    {
        if (silo is not null) return [Router(silo, model), Router(null, model)];
        var other = Array.Find(_silos, known => route is null || !Array.Exists(route.Lost, life => GrainKeys.SiloOf(life.ReplicaId).SequenceEqual(known)));
        return other is null ? [Router(null, model)] : [Router(null, model), Router(other, model)];
    }

    /// <summary>Notes where a ticket led: the latest first.</summary>
    private void Remember(ReadOnlySpan<char> place)
    {
        var known = _silos;
        if (silo is not null || (known.Length > 0 && place.SequenceEqual(known[0]))) return;
        var name = place.ToString();
        _silos = [name, .. known.Where(other => other != name).Take(MostSilos - 1)];
    }

    private IRouterGrain Router(string? of, string model) => grains.GetGrain<IRouterGrain>(GrainKeys.Router(of, model));

    private static bool IsSilence(Exception exception, CancellationToken cancellationToken) =>
        exception is OrleansException or TimeoutException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId}: a router of model {Model} does not answer: {Error}.")]
    private static partial void LogSilent(ILogger logger, string requestId, string model, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A router of model {Model} could not be told to refuse requests of fingerprint {Fingerprint}.")]
    private static partial void LogNotQuarantined(ILogger logger, string model, ulong fingerprint, Exception exception);
}

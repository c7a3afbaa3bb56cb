using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Orleans;

namespace Granary.Client;

/// <summary>Has one text embedded, by as many lives of replicas as that takes: a call does all of the work, so nothing is kept of one that was lost.</summary>
/// <param name="grace">How long after the deadline the replica may tell of it.</param>
internal sealed class EmbedDriver(
    EmbedRequest request, IGrainFactory grains, TicketOffice tickets, LifeSearch search, LifeProbe probe, TimeSpan grace, TimeProvider time,
    CancellationToken cancellationToken)
{
    private readonly Suspicion _suspicion = new();

    /// <returns>Null where the deadline passed.</returns>
    /// <exception cref="RequestQuarantinedException">The text ends the lives that take it.</exception>
    public Task<EmbedResult?> RunAsync() => search.FindAsync(Route, AskAsync, JudgeAsync);

    private RouteRequest Route
    {
        get
        {
            var blockTokens = tickets.BlockTokensOf(request.Model);
            var blocks = PromptBlocks.Of(request.TokenIds, request.CacheSalt);
            return new()
            {
                RequestId = request.RequestId,
                PromptTokens = request.TokenIds.Length,
                MaxTokens = 0,
                PrefixHash = PrefixHash.Of(request.TokenIds, request.CacheSalt),
                Blocks = blockTokens == PromptBlocks.DefaultTokens ? blocks : PromptBlocks.Of(request.TokenIds, request.CacheSalt, blockTokens),
                BlockTokens = blockTokens,
                Fingerprint = PromptBlocks.Fingerprint(request.TokenIds, blocks, request.CacheSalt),
            };
        }
    }

    private async Task<EmbedResult?> AskAsync(Booking booking)
    {
        var life = booking.Ticket.Replica;
        var replica = grains.GetGrain<IReplicaGrain>(life.ReplicaId);
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        EmbedResult? result;
        try
        {
            var asked = _suspicion.IsSuspect ? request with { IsSuspect = true } : request;
            result = await probe.WaitAsync(replica, life, replica.EmbedAsync(asked, life.Epoch, leaving.Token), cancellationToken);
            booking.CachedTokens = result.CachedTokens;
        }
        catch (TimeoutException) when (request.Deadline - grace <= time.GetUtcNow())
        {
            result = null; // The replica's clock says so; a call that Orleans gave up is not so near.
        }
        finally
        {
            await leaving.CancelAsync(); // A life that is lost may go on with it.
        }

        await booking.DisposeAsync();
        return result;
    }

    /// <summary>What the loss of a life means, before another is asked.</summary>
    private async Task JudgeAsync(Exception exception)
    {
        var what = $"{exception.GetType().Name}: {exception.Message}";
        var loss = exception switch
        {
            ReplicaFailedException failed => new Loss(LossReason.Crash, what) { WasInFailedStep = failed.WasInFailedStep },
            TimeoutException => new(LossReason.Stall, what) { IsSudden = true },
            _ => new(LossReason.Crash, what) { IsSudden = true },
        };
        var verdict = _suspicion.Judge(loss, wasAlone: _suspicion.IsSuspect);
        if (verdict == Verdict.GoOn) return;
        var reason = $"Request '{request.RequestId}' ended {_suspicion.Ends} lives of replicas, the last one alone in its step: {what}";
        if (verdict == Verdict.GiveUp) throw new ReplicaFailedException($"Request '{request.RequestId}' is given up after {_suspicion.Ends} lives of replicas: {what}");
        await tickets.QuarantineAsync(request.Model, Route.Fingerprint, reason);
        throw new RequestQuarantinedException(reason, _suspicion.Ends);
    }
}

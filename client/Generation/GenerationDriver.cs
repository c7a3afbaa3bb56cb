using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;

namespace Granary.Client;

/// <summary>Drives one request to its end through as many lives of replicas as that takes.</summary>
/// <remarks>
/// It is the one layer that tries again. What was delivered stands in its journal; a life that is lost is forgotten with all that it may still say, and
/// the next one takes prompt, delivered tokens and seed. Used by one caller at a time.
/// </remarks>
internal sealed partial class GenerationDriver(
    GenerateRequest request, TicketOffice tickets, ReplicaConnections connections, LifeSearch search, SurvivalOptions options, SurvivalMetrics metrics,
    TimeProvider time, ILogger logger, CancellationToken cancellationToken) : IAsyncDisposable
{
    /// <summary>A life that stood still was slow, perhaps: each time it gets twice as long, so often.</summary>
    private const int MostDoublings = 6;

    private readonly Journal _journal = new(request);
    private readonly Suspicion _suspicion = new();
    private Booking? _booking;
    private Loss? _loss; // Of the life that the booking still stands for, or of the one before.
    private ReplicaLife _life;
    private long _lostSince;
    private int _stalls;
    private bool _isSuspect; // In this life.
    private bool _hasTokens; // Of this life.

    /// <summary>The tokens of the life that has the request; null where none has.</summary>
    public TokenStream? Stream { get; private set; }

    /// <summary>Has a life take the request, the first or the next.</summary>
    /// <returns>False where nothing is left to be generated, and only the word of it was lost.</returns>
    /// <exception cref="RequestQuarantinedException">The request ends the lives that take it.</exception>
    /// <exception cref="ReplicaFailedException">Too many lives were lost, or nobody took it for too long.</exception>
    public async Task<bool> ContinueAsync()
    {
        await SettleAsync();
        if (_journal.IsComplete) return false;
        Adopt(await search.FindAsync(_journal.Route(tickets.BlockTokensOf(request.Model)), TakeAsync));
        return true;
    }

    /// <summary>Notes the stream's next chunk, and gives it the figures of an unbroken one.</summary>
    /// <returns>False where it is not the next: it was told before, or is of no account.</returns>
    public bool TryDeliver(ref TokenChunk chunk)
    {
        if (chunk.Epoch != _life.Epoch || chunk.Index < _journal.Position)
        {
            LogDropped(logger, request.RequestId, chunk.Index, chunk.Epoch, _journal.Position, _life.Epoch);
            return false;
        }

        if (chunk.Index > _journal.Position)
        {
            Lose(new(LossReason.Missing, $"Token {_journal.Position} is missing; {chunk.Index} came from '{_life.ReplicaId}'."));
            return false;
        }

        if (chunk.FinishReason == FinishReason.Cancelled)
        {
            Lose(new(LossReason.Crash, $"Replica '{_life.ReplicaId}' cancelled the sequence by itself."));
            return false;
        }

        if (!_hasTokens) NoteFirst(chunk);
        _journal.Deliver(ref chunk);
        return true;
    }

    /// <summary>The stream has ended without the sequence's end.</summary>
    public void LoseStream() => Lose(Stream!.Loss ?? new(LossReason.Missing, $"Replica '{_life.ReplicaId}' ended the sequence without a finish reason."));

    /// <summary>Goes on elsewhere where somebody takes the request; else everything stays as it is.</summary>
    /// <remarks>The life at hand goes on meanwhile, and nobody waits for its end: it is left when the next has the request.</remarks>
    public async Task TryMoveAsync()
    {
        if (_journal.IsComplete) return;
        var began = time.GetTimestamp();
        var booking = await tickets.TryTakeAsync(request.Model, search.Restrict(_journal.Route(tickets.BlockTokensOf(request.Model)), _life), cancellationToken);
        if (booking is null) return;
        (Booking, TokenStream) taken;
        try
        {
            taken = await TakeAsync(booking);
        }
        catch (Exception exception)
        {
            await booking.DisposeAsync();
            if (cancellationToken.IsCancellationRequested) throw;
            var error = exception.GetType().Name;
            LogStays(logger, request.RequestId, _life.ReplicaId, booking.Ticket.Replica.ReplicaId, error);
            return;
        }

        var left = _booking!;
        Stream!.Abandon();
        (_loss, _lostSince) = (new(LossReason.Drain, $"Replica '{_life.ReplicaId}' ends."), began);
        Adopt(taken);
        await left.DisposeAsync();
    }

    /// <summary>The end of a sequence that has all its tokens, or whose time is over.</summary>
    public TokenChunk End(FinishReason reason) => new()
    {
        Index = _journal.Position,
        TokenId = -1,
        Epoch = _life.Epoch,
        CachedPromptTokens = _journal.CachedPromptTokens,
        FinishReason = reason,
    };

    /// <summary>Ends the sequence where it still runs; its blocks are free when this returns, and its booking is given back.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            if (Stream is not null) await Stream.DisposeAsync();
        }
        finally
        {
            if (_booking is not null) await _booking.DisposeAsync();
        }
    }

    /// <summary>The life has got further than the ones before.</summary>
    private void NoteFirst(in TokenChunk chunk)
    {
        _hasTokens = true;
        _booking!.CachedTokens = chunk.CachedPromptTokens;
        search.Advance();
        if (_isSuspect) _suspicion.Clear();
    }

    private async Task<(Booking, TokenStream)> TakeAsync(Booking booking)
    {
        var patience = 1 << Math.Min(_stalls, MostDoublings);
        var stream = await connections.SubmitAsync(booking.Ticket.Replica, _journal.Request(_suspicion.IsSuspect), cancellationToken, patience);
        return (booking, stream);
    }

    private void Adopt((Booking Booking, TokenStream Stream) taken)
    {
        var before = _life;
        (_booking, Stream) = taken;
        (_life, _isSuspect, _hasTokens) = (_booking.Ticket.Replica, _suspicion.IsSuspect, false);
        if (_loss is null) return;
        var pause = time.GetElapsedTime(_lostSince);
        metrics.Continued(request.Model, _loss.Reason, pause);
        LogContinued(
            logger, request.RequestId, _life.ReplicaId, _life.Epoch, before.ReplicaId, before.Epoch, _journal.Position,
            SurvivalMetrics.NameOf(_loss.Reason), pause.TotalMilliseconds, _loss.What);
        _loss = null;
    }

    private void Lose(Loss loss)
    {
        (_loss, _lostSince) = (loss, time.GetTimestamp());
        Stream!.Abandon();
        Stream = null;
    }

    /// <summary>What a loss means, before anybody else is asked.</summary>
    private async Task SettleAsync()
    {
        if (_booking is null) return;
        await _booking.DisposeAsync();
        _booking = null;
        var loss = _loss!; // A booking without a stream has lost it.
        if (loss.Reason == LossReason.Stall) _stalls++;
        search.Lose(_life);
        var verdict = _suspicion.Judge(loss, wasAlone: _isSuspect && !_hasTokens);
        if (verdict == Verdict.Quarantine)
        {
            var reason = $"Request '{request.RequestId}' ended {_suspicion.Ends} lives of replicas, the last one alone in its step: {loss.What}";
            await tickets.QuarantineAsync(request.Model, _journal.Fingerprint, reason);
            throw new RequestQuarantinedException(reason, _suspicion.Ends);
        }

        if (verdict == Verdict.GiveUp || (search.LostLives >= options.MaxLives && !_journal.IsComplete))
        {
            throw new ReplicaFailedException(
                $"Request '{request.RequestId}' is given up after {_journal.Position} tokens and {search.LostLives} lives of replicas, of which {_suspicion.Ends} may have ended by it: {loss.What}");
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId} goes on at {ReplicaId}, epoch {Epoch}, instead of {LostId}, epoch {LostEpoch}, from token {Position} on ({Reason}, {PauseMs:0.#} ms): {What}")]
    private static partial void LogContinued(
        ILogger logger, string requestId, string replicaId, long epoch, string lostId, long lostEpoch, int position, string reason, double pauseMs, string what);

    [LoggerMessage(Level = LogLevel.Information, Message = "Request {RequestId} stays at {ReplicaId}, which ends: {OtherId} did not take it, {Error}.")]
    private static partial void LogStays(ILogger logger, string requestId, string replicaId, string otherId, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId}: token {Index} of epoch {Epoch} dropped; expected {Expected} of epoch {ExpectedEpoch}.")]
    private static partial void LogDropped(ILogger logger, string requestId, int index, long epoch, int expected, long expectedEpoch);
}

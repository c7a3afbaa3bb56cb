using System.Runtime.CompilerServices;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;

namespace Granary.Client;

/// <summary>Ticket from the model's router, tokens straight from the replica, booking given back.</summary>
/// <remarks>
/// A replica that turns the request away before its first token or its vector costs one other ticket that excludes that life; then its error is
/// the caller's. After that nothing is tried again: a loss is a <see cref="ReplicaFailedException"/>.
/// </remarks>
public sealed partial class GrainGenerationClient(IGrainFactory grains, TimeProvider time, ILogger<GrainGenerationClient> logger) : IGenerationClient
{
    /// <summary>How long after the deadline the replica may tell of it, before the client does so itself.</summary>
    private static readonly TimeSpan DeadlineGrace = TimeSpan.FromSeconds(1);

    private readonly TicketedCall _calls = new(grains, logger);
    private readonly ReplicaConnections _connections = new(grains, time);

    public async IAsyncEnumerable<TokenChunk> GenerateAsync(
        GenerateRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var deadline = new RequestDeadline(request.Deadline, DeadlineGrace, time, cancellationToken);
        GenerationStream? stream = null;
        var delivered = 0;
        try
        {
            var open = !deadline.HasPassed;
            while (open)
            {
                try
                {
                    stream ??= await OpenAsync(request, deadline.Token);
                    if (!await stream.MoveNextAsync().ConfigureAwait(false)) break;
                }
                catch (OperationCanceledException) when (deadline.WasCause)
                {
                    open = false;
                    continue;
                }

                var chunk = stream.Current;
                if (!IsNext(chunk, stream.Ticket, delivered, request.RequestId)) continue;
                if (chunk.TokenId >= 0) delivered++;
                yield return chunk;
                if (chunk.FinishReason is not null) yield break;
            }

            if (open) throw new ReplicaFailedException($"The tokens of request '{request.RequestId}' ended after {delivered} without a finish reason.");
            yield return new TokenChunk { Index = delivered, TokenId = -1, Epoch = stream?.Ticket.Replica.Epoch ?? 0, FinishReason = FinishReason.Deadline };
        }
        finally
        {
            if (stream is not null) await stream.DisposeAsync();
        }
    }

    public async Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default)
    {
        using var deadline = new RequestDeadline(request.Deadline, DeadlineGrace, time, cancellationToken);
        if (deadline.HasPassed) throw DeadlinePassed(request);
        var route = new RouteRequest
        {
            RequestId = request.RequestId,
            PromptTokens = request.TokenIds.Length,
            MaxTokens = 0,
            PrefixHash = PrefixHash.Of(request.TokenIds, request.CacheSalt),
        };
        try
        {
            return await _calls.AskAsync(request.Model, route, AskAsync, deadline.Token) ?? throw DeadlinePassed(request);
        }
        catch (OperationCanceledException) when (deadline.WasCause)
        {
            throw DeadlinePassed(request);
        }

        async Task<EmbedResult?> AskAsync(Booking booking)
        {
            await using var held = booking;
            var life = booking.Ticket.Replica;
            try
            {
                return await grains.GetGrain<IReplicaGrain>(life.ReplicaId).EmbedAsync(request, life.Epoch, deadline.Token);
            }
            catch (TimeoutException) when (request.Deadline - DeadlineGrace <= time.GetUtcNow())
            {
                return null; // The replica's clock says so; a call that Orleans gave up is not so near.
            }
        }
    }

    /// <summary>A stream whose first chunk has arrived.</summary>
    private Task<GenerationStream> OpenAsync(GenerateRequest request, CancellationToken cancellationToken)
    {
        var route = new RouteRequest
        {
            RequestId = request.RequestId,
            PromptTokens = request.PromptTokenIds.Length,
            MaxTokens = request.Sampling.MaxTokens,
            PrefixHash = PrefixHash.Of(request.PromptTokenIds, request.CacheSalt),
            Group = request.Group,
        };
        return _calls.AskAsync(request.Model, route, AskAsync, cancellationToken);

        async Task<GenerationStream> AskAsync(Booking booking)
        {
            TokenStream tokens;
            try
            {
                tokens = await _connections.SubmitAsync(booking.Ticket.Replica, request, cancellationToken);
            }
            catch
            {
                await booking.DisposeAsync();
                throw;
            }

            var stream = new GenerationStream(booking, tokens);
            try
            {
                await stream.FetchFirstAsync();
                return stream;
            }
            catch
            {
                await stream.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>Whether the chunk is the one that comes next.</summary>
    /// <exception cref="ReplicaFailedException">Tokens before it are missing: nothing right can follow.</exception>
    private bool IsNext(in TokenChunk chunk, Ticket ticket, int delivered, string requestId)
    {
        if (chunk.Epoch == ticket.Replica.Epoch && chunk.Index == delivered) return true;
        if (chunk.Epoch == ticket.Replica.Epoch && chunk.Index > delivered)
            throw new ReplicaFailedException($"Token {delivered} of request '{requestId}' is missing; {chunk.Index} came from '{ticket.Replica.ReplicaId}'.");
        LogDropped(requestId, chunk.Index, chunk.Epoch, delivered, ticket.Replica.Epoch);
        return false;
    }

    private static TimeoutException DeadlinePassed(EmbedRequest request) =>
        new($"The deadline of request '{request.RequestId}', {request.Deadline:O}, has passed.");

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId}: token {Index} of epoch {Epoch} dropped; expected {Expected} of epoch {ExpectedEpoch}.")]
    private partial void LogDropped(string requestId, int index, long epoch, int expected, long expectedEpoch);
}

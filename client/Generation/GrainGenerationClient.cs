using System.Runtime.CompilerServices;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>Ticket from the model's router, tokens straight from the replica, booking given back.</summary>
/// <remarks>
/// A replica that turns the request away before its first token costs one other ticket that excludes that life; then its error is
/// the caller's. After the first token nothing is tried again: a loss is a <see cref="ReplicaFailedException"/>.
/// </remarks>
public sealed partial class GrainGenerationClient(IGrainFactory grains, TimeProvider time, ILogger<GrainGenerationClient> logger) : IGenerationClient
{
    /// <summary>Tickets for one request: the first, and one other.</summary>
    private const int MaxTickets = 2;

    /// <summary>How long after the deadline the replica may tell of it, before the client does so itself.</summary>
    private static readonly TimeSpan DeadlineGrace = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

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

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>A stream whose first chunk has arrived.</summary>
    private async Task<GenerationStream> OpenAsync(GenerateRequest request, CancellationToken cancellationToken)
    {
        var router = grains.GetGrain<IRouterGrain>(request.Model);
        var route = new RouteRequest
        {
            RequestId = request.RequestId,
            PromptTokens = request.PromptTokenIds.Length,
            MaxTokens = request.Sampling.MaxTokens,
            PrefixHash = PrefixHash.Of(request.PromptTokenIds, request.CacheSalt),
        };
        Exception? rejection = null;
        for (var attempt = 1; ; attempt++)
        {
            Ticket ticket;
            try
            {
                ticket = await router.RouteAsync(route, cancellationToken);
            }
            catch (ModelNotReadyException) when (rejection is ReplicaSaturatedException)
            {
                throw rejection; // There are replicas; they are full. That is what the caller should hear.
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException)
            {
                throw new ModelNotReadyException($"The router of model '{request.Model}' does not answer: {exception.GetType().Name}: {exception.Message}", RetryAfterSilence);
            }

            var chunks = grains.GetGrain<IReplicaGrain>(ticket.Replica.ReplicaId).GenerateAsync(request, ticket.Replica.Epoch, cancellationToken);
            var stream = new GenerationStream(ticket, chunks.GetAsyncEnumerator(cancellationToken), router, logger);
            try
            {
                await stream.FetchFirstAsync();
                return stream;
            }
            catch (Exception exception)
            {
                await stream.DisposeAsync();
                var rejected = StreamErrors.IsRejection(exception);
                var error = exception.GetType().Name;
                if (rejected) LogRejected(request.RequestId, ticket.Replica.ReplicaId, ticket.Replica.Epoch, attempt, error);
                if (!rejected || attempt == MaxTickets)
                {
                    if (StreamErrors.ToContract(exception, ticket.Replica) is { } typed) throw typed;
                    throw;
                }

                rejection = exception;
            }

            route = route with { Excluded = [.. route.Excluded, ticket.Replica] };
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

    [LoggerMessage(Level = LogLevel.Information, Message = "Request {RequestId} was turned away by {ReplicaId}, epoch {Epoch}, attempt {Attempt}: {Error}.")]
    private partial void LogRejected(string requestId, string replicaId, long epoch, int attempt, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Request {RequestId}: token {Index} of epoch {Epoch} dropped; expected {Expected} of epoch {ExpectedEpoch}.")]
    private partial void LogDropped(string requestId, int index, long epoch, int expected, long expectedEpoch);
}

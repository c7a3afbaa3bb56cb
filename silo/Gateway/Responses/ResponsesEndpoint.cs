using System.Text.Json;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Granary.GrainInterfaces.Streams;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Gateway.Streams;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Answers <c>POST /v1/responses</c>, whole or as events.</summary>
/// <remarks>An answer is stored before its end is told, so that the caller can go on from it at once. One that failed or was left is not stored.</remarks>
internal sealed partial class ResponsesEndpoint(
    RequestBody body, ResponseReader reader, SessionTurns sessions, GenerationRunner runner, ResponseStore store, StreamJournals journals, ConcurrencyLimit limit,
    RequestMetrics metrics, TimeProvider time, ILogger<ResponsesEndpoint> logger)
{
    public async Task CreateAsync(HttpContext context)
    {
        using var place = limit.Enter();
        var arrived = time.GetTimestamp();
        ResponsePlan plan;
        byte[]? request;
        using (var document = await body.ReadAsync(context))
        {
            plan = await reader.ReadAsync(document.RootElement, arrived, context.RequestAborted);
            request = journals.BodyOf(document, plan.Generation.Stream);
        }

        plan = plan with { Generation = plan.Generation with { RequestId = context.TraceIdentifier } };
        await RunAsync(context, plan, journals.Begin(context, plan.Generation, request, plan.MessageId));
    }

    /// <summary>Sends what a client lacks of a stream that it has a part of.</summary>
    /// <param name="request">The request that the stream began with.</param>
    public async Task GoOnAsync(HttpContext context, StreamJournal journal, LastEvent from, JsonElement request)
    {
        using var place = limit.Enter();
        var plan = await reader.ReadAsync(request, time.GetTimestamp(), context.RequestAborted);
        var (stream, generation) = journals.GoOn(journal, from, plan.Generation with { RequestId = context.TraceIdentifier });
        await RunAsync(context, plan with { Generation = generation, MessageId = journal.Head.MessageId! }, stream);
    }

    private async Task RunAsync(HttpContext context, ResponsePlan plan, ResumableStream? stream)
    {
        using var _ = stream;
        plan = plan with { Generation = sessions.Begin(context, plan.Generation, plan.PreviousSession, plan.PreviousResponseId) };
        var generation = plan.Generation;
        // The engine ends a sequence at its deadline; this ends a request whose engine does not answer at all.
        using var deadline = generation.StartDeadline(time);
        using var any = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, deadline.Token, stream?.TakenOver ?? default);
        try
        {
            if (generation.Stream)
                await StreamAsync(context, plan, stream, any.Token);
            else
                await SendWholeAsync(context, plan, any.Token);
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && stream?.TakenOver.IsCancellationRequested == true)
        {
            context.Abort(); // Its client reads elsewhere.
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && deadline.IsCancellationRequested)
        {
            throw ApiException.DeadlineExceeded((generation.Deadline - generation.Created).TotalSeconds);
        }
    }

    private async Task SendWholeAsync(HttpContext context, ResponsePlan plan, CancellationToken cancellationToken)
    {
        var sink = new WholeSink(1);
        var writer = new ResponseWriter(plan);
        var ends = await runner.RunAsync(plan.Generation, sink, null, cancellationToken);
        var state = await EndAsync(plan, writer, sink.Choices[0], ends, cancellationToken);
        await Json.WriteAsync(context.Response, (writer, state), static (json, response) => response.writer.Write(json, response.state));
    }

    private async Task StreamAsync(HttpContext context, ResponsePlan plan, ResumableStream? stream, CancellationToken cancellationToken)
    {
        var writer = new ResponseWriter(plan);
        using var sink = new ResponseStreamSink(context.Response, plan, writer, stream?.Ids);
        ApiException error;
        try
        {
            var ends = await runner.RunAsync(plan.Generation, sink, stream, cancellationToken);
            var state = await EndAsync(plan, writer, sink.Answer, ends, cancellationToken);
            await sink.CompleteAsync(state, context.RequestAborted);
            return;
        }
        catch (OperationCanceledException) when (sink.Begun && !context.RequestAborted.IsCancellationRequested && stream?.TakenOver.IsCancellationRequested != true)
        {
            error = ApiException.DeadlineExceeded((plan.Generation.Deadline - plan.Generation.Created).TotalSeconds);
        }
        catch (Exception exception) when (sink.Begun && !context.RequestAborted.IsCancellationRequested && exception is not OperationCanceledException)
        {
            error = ApiErrors.Map(exception) ?? ApiException.GenerationFailed();
            LogBroken(exception, plan.Generation.RequestId, plan.Generation.Id);
        }

        metrics.Error(error.Status, error.Code);
        await sink.CompleteAsync(new("failed", sink.Answer, Error: error), context.RequestAborted);
    }

    private async Task<ResponseState> EndAsync(ResponsePlan plan, ResponseWriter writer, ChoiceText answer, ChoiceEnd[] ends, CancellationToken cancellationToken)
    {
        var state = ResponseState.Ended(answer, Usage.Of(plan.Generation, ends), time.GetUtcNow());
        if (!plan.Store) return state;
        try
        {
            await store.StoreAsync(plan.Generation.Id, new StoredResponse(writer.ToStored(state), plan.Input, await SessionOfAsync(plan)), cancellationToken);
        }
        catch (RequestRefusedException exception) when (exception.Parameter == "id")
        {
            // The gateway that had the stream before has stored it, and could not tell its client.
        }

        return state;
    }

    /// <summary>Its session began when it did: only where that is silent is it waited for.</summary>
    private async Task<string?> SessionOfAsync(ResponsePlan plan)
    {
        if (plan.Generation.Turn is not { } turn) return null;
        try
        {
            return await turn.GetKeyAsync().WaitAsync(SessionTurns.Patience, time);
        }
        catch (TimeoutException)
        {
            return null;
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Request {RequestId}: {Id} failed after its stream had begun.")]
    private partial void LogBroken(Exception exception, string? requestId, string id);
}

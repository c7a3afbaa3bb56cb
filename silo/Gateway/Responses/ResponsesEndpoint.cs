using Granary.GrainInterfaces.Sessions;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Answers <c>POST /v1/responses</c>, whole or as events.</summary>
/// <remarks>An answer is stored before its end is told, so that the caller can go on from it at once. One that failed or was left is not stored.</remarks>
internal sealed partial class ResponsesEndpoint(
    RequestBody body, ResponseReader reader, SessionTurns sessions, GenerationRunner runner, ResponseStore store, ConcurrencyLimit limit, RequestMetrics metrics,
    TimeProvider time, ILogger<ResponsesEndpoint> logger)
{
    public async Task CreateAsync(HttpContext context)
    {
        using var place = limit.Enter();
        var arrived = time.GetTimestamp();
        ResponsePlan plan;
        using (var document = await body.ReadAsync(context)) plan = await reader.ReadAsync(document.RootElement, arrived, context.RequestAborted);
        var begun = plan.Generation with { RequestId = context.TraceIdentifier };
        plan = plan with { Generation = sessions.Begin(context, begun, plan.PreviousSession, plan.PreviousResponseId) };

        var generation = plan.Generation;
        // The engine ends a sequence at its deadline; this ends a request whose engine does not answer at all.
        using var deadline = new CancellationTokenSource(generation.Deadline - generation.Created, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, deadline.Token);
        try
        {
            if (generation.Stream)
                await StreamAsync(context, plan, both.Token);
            else
                await SendWholeAsync(context, plan, both.Token);
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
        var ends = await runner.RunAsync(plan.Generation, sink, cancellationToken);
        var state = await EndAsync(plan, writer, sink.Choices[0], ends, cancellationToken);
        await Json.WriteAsync(context.Response, (writer, state), static (json, response) => response.writer.Write(json, response.state));
    }

    private async Task StreamAsync(HttpContext context, ResponsePlan plan, CancellationToken cancellationToken)
    {
        var writer = new ResponseWriter(plan);
        using var sink = new ResponseStreamSink(context.Response, plan, writer);
        ApiException error;
        try
        {
            var ends = await runner.RunAsync(plan.Generation, sink, cancellationToken);
            var state = await EndAsync(plan, writer, sink.Answer, ends, cancellationToken);
            await sink.CompleteAsync(state, context.RequestAborted);
            return;
        }
        catch (OperationCanceledException) when (sink.Begun && !context.RequestAborted.IsCancellationRequested)
        {
            error = ApiException.DeadlineExceeded((plan.Generation.Deadline - plan.Generation.Created).TotalSeconds);
        }
        catch (Exception exception) when (sink.Begun && !context.RequestAborted.IsCancellationRequested)
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
        if (plan.Store) await store.StoreAsync(plan.Generation.Id, new StoredResponse(writer.ToStored(state), plan.Input, await SessionOfAsync(plan)), cancellationToken);
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

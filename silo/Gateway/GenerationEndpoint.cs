using System.Text.Json;
using Granary.GrainInterfaces.Streams;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Gateway.Streams;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway;

/// <summary>Answers the two endpoints that generate text.</summary>
internal sealed partial class GenerationEndpoint(
    RequestBody body, PlanReader plans, SessionTurns sessions, GenerationRunner runner, StreamJournals journals, ConcurrencyLimit limit, RequestMetrics metrics,
    TimeProvider time, ILogger<GenerationEndpoint> logger)
{
    public const string ChatPath = "/v1/chat/completions";
    public const string CompletionPath = "/v1/completions";

    public Task ChatAsync(HttpContext context) => AnswerAsync(context, plans.ReadChat, plan => new ChatShape(plan));

    public Task CompletionAsync(HttpContext context) => AnswerAsync(context, plans.ReadCompletion, plan => new CompletionShape(plan));

    /// <summary>Sends what a client lacks of a stream that it has a part of.</summary>
    /// <param name="request">The request that the stream began with.</param>
    public async Task GoOnAsync(HttpContext context, StreamJournal journal, LastEvent from, JsonElement request)
    {
        using var place = limit.Enter();
        var isChat = journal.Head.Endpoint == ChatPath;
        var arrived = time.GetTimestamp();
        var read = (isChat ? plans.ReadChat(request, arrived) : plans.ReadCompletion(request, arrived)) with { RequestId = context.TraceIdentifier };
        var (stream, plan) = journals.GoOn(journal, from, read);
        await RunAsync(context, plan, isChat ? new ChatShape(plan) : new CompletionShape(plan), stream);
    }

    private async Task AnswerAsync(HttpContext context, Func<JsonElement, long, GenerationPlan> read, Func<GenerationPlan, ResponseShape> shapeOf)
    {
        using var place = limit.Enter();
        var arrived = time.GetTimestamp();
        GenerationPlan plan;
        byte[]? request;
        using (var document = await body.ReadAsync(context))
        {
            plan = read(document.RootElement, arrived) with { RequestId = context.TraceIdentifier };
            request = journals.BodyOf(document, plan.Stream);
        }

        await RunAsync(context, plan, shapeOf(plan), journals.Begin(context, plan, request));
    }

    private async Task RunAsync(HttpContext context, GenerationPlan plan, ResponseShape shape, ResumableStream? stream)
    {
        using var _ = stream;
        plan = sessions.Begin(context, plan);
        // The engine ends a sequence at its deadline; this ends a request whose engine does not answer at all.
        using var deadline = plan.StartDeadline(time);
        using var any = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, deadline.Token, stream?.TakenOver ?? default);
        try
        {
            if (plan.Stream)
                await StreamAsync(context, plan, shape, stream, any.Token);
            else
                await SendWholeAsync(context, plan, shape, any.Token);
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && stream?.TakenOver.IsCancellationRequested == true)
        {
            context.Abort(); // Its client reads elsewhere.
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && deadline.IsCancellationRequested)
        {
            throw ApiException.DeadlineExceeded((plan.Deadline - plan.Created).TotalSeconds);
        }
    }

    private async Task SendWholeAsync(HttpContext context, GenerationPlan plan, ResponseShape shape, CancellationToken cancellationToken)
    {
        var sink = new WholeSink(plan.ChoiceCount);
        var ends = await runner.RunAsync(plan, sink, null, cancellationToken);
        await Json.WriteAsync(context.Response, (shape, Choices: BestOf.Select(plan, sink.Choices, ends), Usage: Usage.Of(plan, ends)), static (json, response) =>
            response.shape.WriteWhole(json, response.Choices, response.Usage));
    }

    private async Task StreamAsync(HttpContext context, GenerationPlan plan, ResponseShape shape, ResumableStream? stream, CancellationToken cancellationToken)
    {
        using var sink = new StreamSink(context.Response, shape, plan.ChoiceCount, stream?.Ids);
        ApiException error;
        try
        {
            var ends = await runner.RunAsync(plan, sink, stream, cancellationToken);
            await sink.CompleteAsync(plan.IncludeUsage ? Usage.Of(plan, ends) : null, context.RequestAborted);
            return;
        }
        catch (OperationCanceledException) when (sink.Begun && !context.RequestAborted.IsCancellationRequested && stream?.TakenOver.IsCancellationRequested != true)
        {
            error = ApiException.DeadlineExceeded((plan.Deadline - plan.Created).TotalSeconds);
        }
        catch (Exception exception) when (sink.Begun && !context.RequestAborted.IsCancellationRequested && exception is not OperationCanceledException)
        {
            error = ApiErrors.Map(exception) ?? ApiException.GenerationFailed();
            LogBroken(exception, plan.RequestId, plan.Id);
        }

        metrics.Error(error.Status, error.Code);
        await sink.FailAsync(error, context.RequestAborted);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Request {RequestId}: {Id} failed after its stream had begun.")]
    private partial void LogBroken(Exception exception, string? requestId, string id);
}

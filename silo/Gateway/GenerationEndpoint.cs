using System.Text.Json;
using Granary.Silo.Gateway.Sessions;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway;

/// <summary>Answers the two endpoints that generate text.</summary>
internal sealed partial class GenerationEndpoint(
    RequestBody body, PlanReader plans, SessionTurns sessions, GenerationRunner runner, ConcurrencyLimit limit, RequestMetrics metrics,
    TimeProvider time, ILogger<GenerationEndpoint> logger)
{
    public Task ChatAsync(HttpContext context) => AnswerAsync(context, plans.ReadChat, plan => new ChatShape(plan));

    public Task CompletionAsync(HttpContext context) => AnswerAsync(context, plans.ReadCompletion, plan => new CompletionShape(plan));

    private async Task AnswerAsync(HttpContext context, Func<JsonElement, long, GenerationPlan> read, Func<GenerationPlan, ResponseShape> shapeOf)
    {
        using var place = limit.Enter();
        var arrived = time.GetTimestamp();
        GenerationPlan plan;
        using (var document = await body.ReadAsync(context)) plan = read(document.RootElement, arrived) with { RequestId = context.TraceIdentifier };
        plan = sessions.Begin(context, plan);

        // The engine ends a sequence at its deadline; this ends a request whose engine does not answer at all.
        using var deadline = new CancellationTokenSource(plan.Deadline - plan.Created, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, deadline.Token);
        var shape = shapeOf(plan);
        try
        {
            if (plan.Stream)
                await StreamAsync(context, plan, shape, both.Token);
            else
                await SendWholeAsync(context, plan, shape, both.Token);
        }
        catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested && deadline.IsCancellationRequested)
        {
            throw ApiException.DeadlineExceeded((plan.Deadline - plan.Created).TotalSeconds);
        }
    }

    private async Task SendWholeAsync(HttpContext context, GenerationPlan plan, ResponseShape shape, CancellationToken cancellationToken)
    {
        var sink = new WholeSink(plan.ChoiceCount);
        var ends = await runner.RunAsync(plan, sink, cancellationToken);
        await Json.WriteAsync(context.Response, (shape, Choices: BestOf.Select(plan, sink.Choices, ends), Usage: Usage.Of(plan, ends)), static (json, response) =>
            response.shape.WriteWhole(json, response.Choices, response.Usage));
    }

    private async Task StreamAsync(HttpContext context, GenerationPlan plan, ResponseShape shape, CancellationToken cancellationToken)
    {
        using var sink = new StreamSink(context.Response, shape, plan.ChoiceCount);
        ApiException error;
        try
        {
            var ends = await runner.RunAsync(plan, sink, cancellationToken);
            await sink.CompleteAsync(plan.IncludeUsage ? Usage.Of(plan, ends) : null, context.RequestAborted);
            return;
        }
        catch (OperationCanceledException) when (sink.Begun && !context.RequestAborted.IsCancellationRequested)
        {
            error = ApiException.DeadlineExceeded((plan.Deadline - plan.Created).TotalSeconds);
        }
        catch (Exception exception) when (sink.Begun && !context.RequestAborted.IsCancellationRequested)
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

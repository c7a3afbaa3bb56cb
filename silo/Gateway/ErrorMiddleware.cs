using Granary.Silo.Hosting;
using Granary.Silo.Metrics;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Every failure before the response has begun becomes an error body; what matches no route as well.</summary>
internal sealed partial class ErrorMiddleware(
    RequestDelegate next, RequestMetrics metrics, IOptions<GranaryOptions> options, ILogger<ErrorMiddleware> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var error = await RunAsync(context);
        if (error is null || context.Response.HasStarted) return;
        metrics.Error(error.Status, error.Code);
        await ApiErrors.WriteAsync(context.Response, error);
    }

    private async Task<ApiException?> RunAsync(HttpContext context)
    {
        var request = context.Request;
        try
        {
            await next(context);
            if (context.GetEndpoint() is not null && context.Response.StatusCode != StatusCodes.Status405MethodNotAllowed) return null;
            return context.Response.StatusCode switch
            {
                StatusCodes.Status404NotFound => ApiException.NotFound(request.Path),
                StatusCodes.Status405MethodNotAllowed => ApiException.MethodNotAllowed(request.Method, request.Path),
                _ => null,
            };
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            return null; // The client left; nobody reads an answer.
        }
        catch (BadHttpRequestException exception)
        {
            return exception.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? ApiException.BodyTooLarge(options.Value.Gateway.MaxBodyBytes)
                : ApiException.BadRequest(exception.StatusCode);
        }
        catch (Exception exception)
        {
            if (ApiErrors.Map(exception) is { } error) return error;
            LogFailed(exception, context.TraceIdentifier, request.Method, request.Path);
            return ApiException.Internal();
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Request {RequestId}: {Method} {Path} failed.")]
    private partial void LogFailed(Exception exception, string requestId, string method, string path);
}

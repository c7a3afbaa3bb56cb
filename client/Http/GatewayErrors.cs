using System.Net;
using System.Text.Json;

namespace Granary.Client;

/// <summary>Turns the gateway's error bodies, <c>{"error":{"message","type","param","code"}}</c>, into exceptions.</summary>
internal static class GatewayErrors
{
    private const int MaxBodyBytes = 64 * 1024;
    private const int MaxMessageLength = 4096;
    private const string DeadlineCode = "deadline_exceeded";

    /// <param name="id">The request's id, where the answer has none.</param>
    public static async Task<Exception> ReadAsync(HttpResponseMessage response, string id, TimeProvider time, CancellationToken cancellationToken)
    {
        var status = response.StatusCode;
        var error = await ReadBodyAsync(response, cancellationToken)
            ?? new Body($"The gateway answered {(int)status} {response.ReasonPhrase} without an error that could be read.", null, null);
        return Create(status, error, RetryAfter(response, time), IdOf(response) ?? id);
    }

    /// <summary>The error that a stream's frame carries; null where it carries none.</summary>
    public static Exception? FromFrame(JsonElement frame, string? id)
    {
        if (!TryRead(frame, out var error)) return null;
        return error.Code switch
        {
            DeadlineCode => new TimeoutException(error.Message),
            // A refusal that was found after the stream had begun is a refusal.
            Refusals.InvalidValue or Refusals.ContextLengthExceeded => new GranaryRequestException(error.Message, error.Parameter) { Code = error.Code, RequestId = id },
            _ => new GranaryGenerationException(error.Message) { RequestId = id },
        };
    }

    /// <summary>The id that the answer carries.</summary>
    public static string? IdOf(HttpResponseMessage response) =>
        response.Headers.TryGetValues(GatewaySender.RequestIdHeader, out var values) ? values.First() : null;

    private static Exception Create(HttpStatusCode status, Body error, TimeSpan? retryAfter, string id) => status switch
    {
        HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable => new GranaryUnavailableException(error.Message, retryAfter) { RequestId = id },
        HttpStatusCode.GatewayTimeout => new TimeoutException(error.Message),
        >= HttpStatusCode.BadRequest and < HttpStatusCode.InternalServerError =>
            new GranaryRequestException(error.Message, error.Parameter) { Code = error.Code, RequestId = id },
        _ => new GranaryGenerationException(error.Message) { RequestId = id },
    };

    private static async Task<Body?> ReadBodyAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            await response.Content.LoadIntoBufferAsync(MaxBodyBytes, cancellationToken);
            using var document = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
            return TryRead(document.RootElement, out var error) ? error : null;
        }
        catch (Exception exception) when (exception is JsonException or HttpRequestException or IOException)
        {
            return null; // The status says enough.
        }
    }

    private static bool TryRead(JsonElement body, out Body error)
    {
        error = null!;
        if (body.ValueKind != JsonValueKind.Object || !body.TryGetProperty("error", out var value) || value.ValueKind != JsonValueKind.Object) return false;
        var message = Text(value, "message") ?? "The gateway gave no reason.";
        error = new(message.Length <= MaxMessageLength ? message : message[..MaxMessageLength], Text(value, "param"), Text(value, "code"));
        return true;
    }

    private static string? Text(JsonElement body, string name) =>
        body.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static TimeSpan? RetryAfter(HttpResponseMessage response, TimeProvider time)
    {
        var header = response.Headers.RetryAfter;
        var wait = header?.Delta ?? (header?.Date - time.GetUtcNow());
        return wait is { } found && found < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }

    private sealed record Body(string Message, string? Parameter, string? Code);
}

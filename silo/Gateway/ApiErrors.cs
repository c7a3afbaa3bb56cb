using System.Globalization;
using System.Text.Json;
using Granary.GrainInterfaces.Errors;

namespace Granary.Silo.Gateway;

/// <summary>Maps what goes wrong inside to what a client is told, and writes it.</summary>
internal static class ApiErrors
{
    private static readonly TimeSpan DefaultRetryAfter = TimeSpan.FromSeconds(1);

    /// <summary>Null where the exception is a defect, whose text clients are not shown.</summary>
    public static ApiException? Map(Exception exception) => exception switch
    {
        ApiException api => api,
        RequestRefusedException refused => ApiException.Invalid(refused.Parameter, refused.Message),
        ReplicaSaturatedException saturated => ApiException.TooManyRequests(saturated.Message, saturated.RetryAfter),
        ModelNotReadyException notReady => ApiException.NotReady(notReady.Message, notReady.RetryAfter),
        EpochMismatchException or ModelLoadException => ApiException.NotReady("The model's replicas are starting anew.", DefaultRetryAfter),
        RequestQuarantinedException => ApiException.Quarantined(),
        ReplicaFailedException => ApiException.GenerationFailed(),
        _ => null,
    };

    /// <summary><c>{"error":{"message","type","param","code"}}</c>, the last two null where they say nothing.</summary>
    public static void WriteBody(Utf8JsonWriter json, ApiException error)
    {
        json.WriteStartObject();
        json.WriteStartObject("error"u8);
        json.WriteString("message"u8, error.Message);
        json.WriteString("type"u8, error.Type);
        json.WriteString("param"u8, error.Parameter);
        json.WriteString("code"u8, error.Code);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    public static async Task WriteAsync(HttpResponse response, ApiException error)
    {
        response.StatusCode = error.Status;
        if (error.RetryAfter is { } wait)
            response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        if (error.Code == ApiException.QuarantinedCode) response.Headers["x-should-retry"] = "false"; // OpenAI's clients try a 500 again otherwise.
        if (error.Status == StatusCodes.Status401Unauthorized) response.Headers.WWWAuthenticate = "Bearer";
        response.ContentType = Json.ContentType;
        await using (var json = new Utf8JsonWriter(response.BodyWriter, Json.WriterOptions)) WriteBody(json, error);
        await response.BodyWriter.FlushAsync(response.HttpContext.RequestAborted);
    }
}

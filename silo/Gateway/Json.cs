using System.Text.Encodings.Web;
using System.Text.Json;

namespace Granary.Silo.Gateway;

/// <summary>How JSON is written here.</summary>
internal static class Json
{
    public const string ContentType = "application/json";

    /// <summary>Text stays readable: only what JSON itself requires is escaped. Nothing here is embedded in HTML.</summary>
    public static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    public static async Task WriteAsync<T>(HttpResponse response, T value, Action<Utf8JsonWriter, T> write)
    {
        response.ContentType = ContentType;
        await using (var json = new Utf8JsonWriter(response.BodyWriter, WriterOptions)) write(json, value);
        await response.BodyWriter.FlushAsync(response.HttpContext.RequestAborted);
    }
}

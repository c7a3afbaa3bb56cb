using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Unicode;
using Granary.Silo.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Reads a request's JSON within the gateway's bound.</summary>
internal sealed class RequestBody(IOptions<GranaryOptions> options)
{
    /// <summary>Which of two values a field has would depend on who reads it.</summary>
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    private readonly int _maxBytes = options.Value.Gateway.MaxBodyBytes;

    /// <exception cref="ApiException">It is not a JSON object, or too large.</exception>
    public async Task<JsonDocument> ReadAsync(HttpContext context)
    {
        // The server enforces the bound while it reads, whatever the headers say.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = _maxBytes;
        if (context.Request.ContentLength > _maxBytes) throw ApiException.BodyTooLarge(_maxBytes);
        JsonDocument document;
        try
        {
            // No token: the read itself fails when the client leaves.
            document = await JsonDocument.ParseAsync(context.Request.Body, Options, CancellationToken.None);
        }
        catch (JsonException exception)
        {
            throw ApiException.InvalidBody(exception.LineNumber is { } line
                ? $"The body is not JSON: line {line + 1}, byte {exception.BytePositionInLine + 1}."
                : "The body is ambiguous: an object has a field twice.");
        }
        catch (InvalidOperationException)
        {
            // Looking for a field that is there twice reads every name, and an escape in one is half a character.
            throw ApiException.InvalidBody("The body has a field whose name is not valid Unicode text.");
        }
        catch (ConnectionResetException)
        {
            context.Abort(); // The client left; there is nobody to wait for.
            throw ApiException.BadRequest(StatusCodes.Status400BadRequest);
        }
        catch (IOException exception) when (exception is not BadHttpRequestException)
        {
            // Framed wrongly in a way that the server has no name for.
            throw ApiException.BadRequest(StatusCodes.Status400BadRequest);
        }

        // The reader looks for quotes alone: what stands between them may not be text.
        var isText = Utf8.IsValid(JsonMarshal.GetRawUtf8Value(document.RootElement));
        if (isText && document.RootElement.ValueKind == JsonValueKind.Object) return document;
        document.Dispose();
        throw ApiException.InvalidBody(isText ? "The body is not a JSON object." : "The body is not UTF-8.");
    }
}

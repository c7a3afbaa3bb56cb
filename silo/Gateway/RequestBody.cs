using System.Text.Json;
using Granary.Silo.Hosting;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Reads a request's JSON within the gateway's bound.</summary>
internal sealed class RequestBody(IOptions<GranaryOptions> options)
{
    private readonly int _maxBytes = options.Value.Gateway.MaxBodyBytes;

    /// <exception cref="ApiException">It is not a JSON object, or too large.</exception>
    public async Task<JsonDocument> ReadAsync(HttpContext context)
    {
        // The server enforces the bound while it reads, whatever the headers say.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = _maxBytes;
        if (context.Request.ContentLength > _maxBytes) throw ApiException.BodyTooLarge(_maxBytes);
        JsonDocument? document = null;
        try
        {
            document = await JsonDocument.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
        }
        catch (JsonException exception)
        {
            throw ApiException.InvalidBody($"The body is not JSON: line {exception.LineNumber + 1}, byte {exception.BytePositionInLine + 1}.");
        }

        document.Dispose();
        throw ApiException.InvalidBody("The body is not a JSON object.");
    }
}

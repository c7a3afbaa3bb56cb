using System.Text.Json;
using Granary.Silo.Gateway.Responses;

namespace Granary.Silo.Gateway.Streams;

/// <summary>Goes on with streams whose client lost its connection or its gateway: <c>GET /v1/streams/{id}</c>, or the stream's own request with the last event's id.</summary>
internal sealed class StreamsEndpoint(StreamJournals journals, GenerationEndpoint generation, ResponsesEndpoint responses)
{
    public const string Path = "/v1/streams/{id}";

    /// <summary>The rest of a stream, behind the last event that the client has; without one, the whole stream.</summary>
    public Task GetAsync(HttpContext context)
    {
        var id = (string)context.GetRouteValue("id")!;
        var from = LastEvent.Find(context.Request) ?? new LastEvent(id, null, StreamStage.Choices);
        if (from.Stream != id) throw ApiException.Invalid(LastEvent.Header, $"{LastEvent.Header} is of stream '{from.Stream}'; the path is of another.");
        return GoOnAsync(context, from, anyEndpoint: true);
    }

    /// <summary>A request that generates, unless it comes with the id of an event: then its body is not looked at.</summary>
    public RequestDelegate Or(RequestDelegate begin) => context =>
        LastEvent.Find(context.Request) is { } from ? GoOnAsync(context, from, anyEndpoint: false) : begin(context);

    private async Task GoOnAsync(HttpContext context, LastEvent from, bool anyEndpoint)
    {
        var journal = await journals.TakeOverAsync(context, from.Stream, context.RequestAborted);
        if (!anyEndpoint && context.Request.Path != journal.Head.Endpoint) throw ApiException.StreamNotFound(from.Stream);
        using var body = JsonDocument.Parse(journal.Head.Body);
        await (journal.Head.MessageId is null
            ? generation.GoOnAsync(context, journal, from, body.RootElement)
            : responses.GoOnAsync(context, journal, from, body.RootElement));
    }
}

using System.Globalization;
using System.Text.Json;
using Granary.GrainInterfaces.Sessions;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Tells, lists and deletes stored responses.</summary>
internal sealed class StoredResponsesEndpoint(ResponseStore store)
{
    private const int DefaultLimit = 20;
    private const int MaxLimit = 100;

    public async Task GetAsync(HttpContext context)
    {
        var query = context.Request.Query;
        if (query["stream"].ToString() is not ("" or "false")) throw ApiException.Invalid("stream", $"stream is '{query["stream"]}'; a stored response is told whole.");
        if (query.ContainsKey("include") || query.ContainsKey("include[]"))
            throw ApiException.Invalid("include", "include is given; a stored response has nothing more than it tells.");
        var response = await FindAsync(context);
        context.Response.ContentType = Json.ContentType;
        await context.Response.BodyWriter.WriteAsync(response.Body, context.RequestAborted);
    }

    public async Task DeleteAsync(HttpContext context)
    {
        var id = Id(context);
        if (!await store.DeleteAsync(id, context.RequestAborted)) throw ApiException.ResponseNotFound(id);
        await Json.WriteAsync(context.Response, id, static (json, id) =>
        {
            json.WriteStartObject();
            json.WriteString("id"u8, id);
            json.WriteString("object"u8, "response"u8);
            json.WriteBoolean("deleted"u8, true);
            json.WriteEndObject();
        });
    }

    /// <summary>Only a response in the background can be cancelled by its id, and there are none.</summary>
    public async Task CancelAsync(HttpContext context)
    {
        await FindAsync(context);
        throw ApiException.Invalid("response_id", $"Response '{Id(context)}' was not created with background: true; close its connection to cancel it while it is answered.");
    }

    /// <summary>Lists what a response answered, the newest first where nothing else is asked for.</summary>
    public async Task ListInputAsync(HttpContext context)
    {
        var query = context.Request.Query;
        var limit = ReadLimit(query["limit"].ToString());
        var order = query["order"].ToString();
        if (order is not ("" or "asc" or "desc")) throw ApiException.Invalid("order", $"order is '{order}'; it must be asc or desc.");
        var after = query["after"].ToString();
        var response = await FindAsync(context);
        using var document = JsonDocument.Parse(response.Input);
        var items = document.RootElement.EnumerateArray().ToList();
        if (order != "asc") items.Reverse();
        if (after.Length > 0)
        {
            var index = items.FindIndex(item => item.GetProperty("id").ValueEquals(after));
            if (index < 0) throw ApiException.Invalid("after", "after is not the id of an item of this response.");
            items.RemoveRange(0, index + 1);
        }

        await Json.WriteAsync(context.Response, (items, limit), static (json, list) => WritePage(json, list.items, list.limit));
    }

    private static void WritePage(Utf8JsonWriter json, List<JsonElement> items, int limit)
    {
        var count = Math.Min(limit, items.Count);
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        foreach (var item in items[..count]) item.WriteTo(json);
        json.WriteEndArray();
        // An empty page has no first item; the description wants a string.
        json.WriteString("first_id"u8, count == 0 ? "" : items[0].GetProperty("id").GetString());
        json.WriteString("last_id"u8, count == 0 ? "" : items[count - 1].GetProperty("id").GetString());
        json.WriteBoolean("has_more"u8, count < items.Count);
        json.WriteEndObject();
    }

    private static int ReadLimit(string text)
    {
        if (text.Length == 0) return DefaultLimit;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) && limit is >= 1 and <= MaxLimit
            ? limit
            : throw ApiException.Invalid("limit", $"limit is not an integer from 1 to {MaxLimit}.");
    }

    private async Task<StoredResponse> FindAsync(HttpContext context)
    {
        var id = Id(context);
        return await store.FindAsync(id, context.RequestAborted) ?? throw ApiException.ResponseNotFound(id);
    }

    private static string Id(HttpContext context) => (string)context.Request.RouteValues["id"]!;
}

using System.Text.Json;
using Granary.Client;
using Granary.Silo.Serving;

namespace Granary.Silo.Gateway;

/// <summary>Lists the served models.</summary>
internal sealed class ModelsEndpoint(ModelCatalog catalog)
{
    public Task ListAsync(HttpContext context) => Json.WriteAsync(context.Response, catalog, static (json, catalog) =>
    {
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        foreach (var name in catalog.Names)
        {
            // A model that is loading is not there yet.
            if (catalog.FindOpen(name) is { } model) Write(json, model);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });

    public Task GetAsync(HttpContext context)
    {
        var name = (string)context.Request.RouteValues["id"]!;
        return Json.WriteAsync(context.Response, catalog.FindOpen(name) ?? throw ApiException.ModelNotFound(name), Write);
    }

    private static void Write(Utf8JsonWriter json, TextModel model)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, model.Name);
        json.WriteString("object"u8, "model"u8);
        json.WriteNumber("created"u8, model.Card.Created.ToUnixTimeSeconds());
        json.WriteString("owned_by"u8, "granary"u8);
        json.WriteNumber("max_model_len"u8, model.ContextLength);
        json.WriteEndObject();
    }
}

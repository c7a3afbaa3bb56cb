using System.Text.Json;
using Granary.Client;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Opens a request's body, and reads the one field that all endpoints share: <c>model</c>.</summary>
internal sealed class ModelField(ModelCatalog catalog, IOptions<GranaryOptions> options)
{
    /// <summary>Whether requests are judged as vLLM judges them, and not as OpenAI does.</summary>
    public bool IsStrict { get; } = options.Value.Gateway.Compatibility == Compatibility.Strict;

    /// <summary>The body's fields; where the gateway is strict they remember what was asked for.</summary>
    public RequestFields Open(JsonElement body) => new(body, "", IsStrict ? new FieldRecord() : null);

    /// <exception cref="ApiException">There is no such model, or it is not ready yet.</exception>
    public TextModel Find(RequestFields fields)
    {
        var name = fields.GetString("model", 256)
            ?? (catalog.Names.Count == 1 ? catalog.Names[0] : throw fields.Missing("model", "the name of one of the models that are served"));
        if (!catalog.Contains(name)) throw ApiException.ModelNotFound(name);
        return catalog.FindOpen(name) ?? throw ApiException.NotReady($"Model {name} is loading.", TimeSpan.FromSeconds(1));
    }
}

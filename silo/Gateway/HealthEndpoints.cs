using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;

namespace Granary.Silo.Gateway;

/// <summary>Tells whether the process is alive, and whether every configured model has a replica that takes requests.</summary>
internal sealed class HealthEndpoints(ModelCatalog catalog, ModelDeployment deployment, EngineHost engines)
{
    public Task LiveAsync(HttpContext context) => WriteAsync(context, []);

    public Task ReadyAsync(HttpContext context)
    {
        string[] missing = deployment.Completed.IsCompletedSuccessfully ? [.. catalog.Names.Where(name => !HasReplica(name))] : [.. catalog.Names];
        if (missing.Length > 0)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "1";
        }

        return WriteAsync(context, missing);
    }

    private bool HasReplica(string model) => engines.Replicas.Any(replica => replica.Model == model && !replica.Engine.Completion.IsCompleted);

    private static Task WriteAsync(HttpContext context, string[] missing) => Json.WriteAsync(context.Response, missing, static (json, missing) =>
    {
        json.WriteStartObject();
        json.WriteString("status"u8, missing.Length == 0 ? "ok"u8 : "not ready"u8);
        if (missing.Length > 0)
        {
            json.WriteStartArray("missing"u8);
            foreach (var name in missing) json.WriteStringValue(name);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    });
}

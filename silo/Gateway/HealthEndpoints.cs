using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Gateway;

/// <summary>Tells whether the process is alive, and whether every configured model has a replica that takes requests.</summary>
internal sealed class HealthEndpoints(ModelCatalog catalog, ModelDeployment deployment, EngineHost engines, IGrainFactory grains, SiloIdentity silo)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public Task LiveAsync(HttpContext context) => WriteAsync(context, []);

    public async Task ReadyAsync(HttpContext context)
    {
        var missing = new List<string>();
        foreach (var name in catalog.Names)
        {
            if (!deployment.Completed.IsCompletedSuccessfully || !await HasReplicaAsync(name, context.RequestAborted)) missing.Add(name);
        }

        if (missing.Count > 0)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "1";
        }

        await WriteAsync(context, [.. missing]);
    }

    /// <summary>Here, or anywhere in the cluster as the model's grain knows it.</summary>
    private async Task<bool> HasReplicaAsync(string model, CancellationToken cancellationToken)
    {
        if (engines.Replicas.Any(replica => replica.Model == model && !replica.Engine.Completion.IsCompleted)) return true;
        try
        {
            // What it knows of this silo is told by the engines themselves.
            var status = await grains.GetGrain<IModelGrain>(model).GetStatusAsync(cancellationToken).WaitAsync(Patience, cancellationToken);
            return Array.Exists(status.Replicas, replica => GrainKeys.WorkerOf(replica.Replica.ReplicaId) != silo.WorkerKey);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            return false;
        }
    }

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

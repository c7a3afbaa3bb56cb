using System.Text.Json;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.Grains;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Gateway;

/// <summary>Tells whether the process is alive, and whether it should be sent requests.</summary>
/// <remarks>It should when every configured model has a replica somewhere, every engine here that is busy makes progress, the device is sound, and the silo does not drain.</remarks>
internal sealed class HealthEndpoints(ModelCatalog catalog, ModelDeployment deployment, EngineHost engines, IGrainFactory grains, SiloIdentity silo)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public Task LiveAsync(HttpContext context) => Json.WriteAsync(context.Response, 0, static (json, _) =>
    {
        json.WriteStartObject();
        json.WriteString("status"u8, "ok"u8);
        json.WriteEndObject();
    });

    public async Task ReadyAsync(HttpContext context)
    {
        var missing = new List<string>();
        foreach (var name in catalog.Names)
        {
            if (!deployment.Completed.IsCompletedSuccessfully || !await HasReplicaAsync(name, context.RequestAborted)) missing.Add(name);
        }

        var replicas = engines.Replicas.Select(replica => (Replica: replica, State: engines.StateOf(replica))).OrderBy(entry => entry.Replica.ReplicaId, StringComparer.Ordinal).ToList();
        var health = new Health(missing, engines.IsDraining, engines.DeviceFailure, replicas);
        if (!health.IsReady)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "1";
        }

        await Json.WriteAsync(context.Response, health, Write);
    }

    /// <summary>Here, or anywhere in the cluster as the model's grain knows it.</summary>
    private async Task<bool> HasReplicaAsync(string model, CancellationToken cancellationToken)
    {
        if (engines.Replicas.Any(replica => replica.Model == model && engines.StateOf(replica) == ReplicaState.Ready && !replica.Engine.Completion.IsCompleted)) return true;
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

    private static void Write(Utf8JsonWriter json, Health health)
    {
        json.WriteStartObject();
        json.WriteString("status"u8, health.IsReady ? "ok"u8 : "not ready"u8);
        if (health.Missing.Count > 0)
        {
            json.WriteStartArray("missing"u8);
            foreach (var name in health.Missing) json.WriteStringValue(name);
            json.WriteEndArray();
        }

        if (health.IsDraining) json.WriteBoolean("draining"u8, true);
        if (health.DeviceFailure is { } failure) json.WriteString("device"u8, failure);
        json.WriteStartArray("replicas"u8);
        foreach (var (replica, state) in health.Replicas)
        {
            var load = replica.Engine.Load;
            json.WriteStartObject();
            json.WriteString("id"u8, replica.ReplicaId);
            json.WriteString("state"u8, state switch
            {
                ReplicaState.Ready => "ready"u8,
                ReplicaState.Draining => "draining"u8,
                ReplicaState.Stalled => "stalled"u8,
                _ => throw new InvalidOperationException($"Unknown state of a replica: {state}."),
            });
            json.WriteNumber("steps"u8, load.Steps);
            json.WriteNumber("step_age_seconds"u8, load.StepAgeSeconds);
            json.WriteNumber("longest_step_seconds"u8, load.LongestStepSeconds);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>What readiness is made of.</summary>
    /// <param name="Missing">Models without a replica.</param>
    /// <param name="DeviceFailure">Why the device is not used again.</param>
    private sealed record Health(List<string> Missing, bool IsDraining, string? DeviceFailure, List<(HostedReplica Replica, ReplicaState State)> Replicas)
    {
        public bool IsReady => Missing.Count == 0 && !IsDraining && DeviceFailure is null && Replicas.TrueForAll(entry => entry.State != ReplicaState.Stalled);
    }
}

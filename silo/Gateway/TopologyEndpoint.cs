using System.Text.Json;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.Silo.Serving;
using Orleans;

namespace Granary.Silo.Gateway;

/// <summary>Tells operators what the cluster has and runs: workers with their shards and links, and the models with what is lacking.</summary>
internal sealed class TopologyEndpoint(ModelCatalog catalog, IGrainFactory grains)
{
    public async Task GetAsync(HttpContext context)
    {
        var cancellationToken = context.RequestAborted;
        var workers = grains.GetGrain<IInventoryGrain>(0).GetWorkersAsync(cancellationToken);
        var models = Task.WhenAll(catalog.Names.Select(name => grains.GetGrain<IModelGrain>(name).GetStatusAsync(cancellationToken)));
        await Json.WriteAsync(context.Response, (Workers: await workers, Models: await models), static (json, cluster) =>
        {
            json.WriteStartObject();
            Array(json, "models", cluster.Models, Write);
            Array(json, "workers", cluster.Workers, Write);
            json.WriteEndObject();
        });
    }

    private static void Write(Utf8JsonWriter json, ModelStatus model)
    {
        json.WriteStartObject();
        json.WriteString("model"u8, model.Model);
        json.WriteNumber("wanted_replicas"u8, model.WantedReplicas);
        json.WriteNumber("living_replicas"u8, model.Replicas.Length);
        Array(json, "missing", model.Missing, static (json, missing) =>
        {
            json.WriteStartObject();
            json.WriteString("replica"u8, missing.Replica);
            json.WriteString("reason"u8, missing.Reason);
            json.WriteNumber("retry_after_seconds"u8, missing.RetryAfter.TotalSeconds);
            json.WriteEndObject();
        });
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, WorkerReport worker)
    {
        json.WriteStartObject();
        json.WriteString("worker"u8, worker.Worker);
        json.WriteString("silo"u8, worker.Silo);
        json.WriteString("host"u8, worker.Host);
        json.WriteString("zone"u8, worker.Zone);
        json.WriteString("device"u8, worker.DeviceKind);
        json.WriteNumber("cores"u8, worker.Cores);
        json.WriteNumber("free_cores"u8, worker.FreeCores);
        json.WriteNumber("memory_bytes"u8, worker.MemoryBytes);
        json.WriteNumber("free_bytes"u8, worker.FreeBytes);
        json.WriteNumber("flops_per_second"u8, worker.FlopsPerSecond);
        json.WriteNumber("bytes_per_second"u8, worker.BytesPerSecond);
        Array(json, "replicas", worker.Replicas, Write);
        Array(json, "shards", worker.Shards, Write);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, WorkerReplica replica)
    {
        json.WriteStartObject();
        json.WriteString("replica"u8, replica.Spec.ReplicaId);
        json.WriteString("model"u8, replica.Spec.Model);
        json.WriteNumber("epoch"u8, replica.Load.Epoch);
        json.WriteNumber("stages"u8, replica.Spec.Layout?.Stages ?? 1);
        json.WriteNumber("ranks"u8, replica.Spec.Layout?.Ranks ?? 1);
        json.WriteNumber("context_length"u8, replica.Descriptor.ContextLength);
        json.WriteNumber("running_sequences"u8, replica.Load.RunningSequences);
        json.WriteNumber("waiting_sequences"u8, replica.Load.WaitingSequences);
        json.WriteNumber("kv_blocks"u8, replica.Load.KvBlocksTotal);
        json.WriteNumber("kv_blocks_used"u8, replica.Load.KvBlocksUsed);
        json.WriteNumber("steps"u8, replica.Load.Steps);
        json.WriteNumber("seconds_per_decode_step"u8, replica.Load.SecondsPerDecodeStep);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ShardStatus shard)
    {
        json.WriteStartObject();
        json.WriteString("replica"u8, shard.ReplicaId);
        json.WriteNumber("epoch"u8, shard.Epoch);
        json.WriteNumber("stage"u8, shard.Stage);
        json.WriteNumber("rank"u8, shard.Rank);
        json.WriteString("state"u8, shard.State switch { ShardState.Loading => "loading"u8, ShardState.Loaded => "loaded"u8, _ => "running"u8 });
        json.WriteNumber("progress"u8, shard.Progress);
        json.WriteNumber("memory_bytes"u8, shard.MemoryBytes);
        json.WriteNumber("steps"u8, shard.Steps);
        json.WriteNumber("seconds_per_step"u8, shard.SecondsPerStep);
        json.WriteNumber("wait_seconds_per_step"u8, shard.WaitSecondsPerStep);
        Array(json, "links", shard.Links, static (json, link) =>
        {
            json.WriteStartObject();
            json.WriteString("peer"u8, link.Peer);
            json.WriteString("purpose"u8, link.Purpose);
            json.WriteNumber("frames_sent"u8, link.FramesSent);
            json.WriteNumber("bytes_sent"u8, link.BytesSent);
            json.WriteNumber("frames_received"u8, link.FramesReceived);
            json.WriteNumber("bytes_received"u8, link.BytesReceived);
            json.WriteEndObject();
        });
        json.WriteEndObject();
    }

    private static void Array<T>(Utf8JsonWriter json, string name, T[] items, Action<Utf8JsonWriter, T> write)
    {
        json.WriteStartArray(name);
        foreach (var item in items) write(json, item);
        json.WriteEndArray();
    }
}

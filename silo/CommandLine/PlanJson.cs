using System.Buffers;
using System.Text;
using System.Text.Json;
using Granary.Engine.Partitioning;
using Granary.Silo.Gateway;

namespace Granary.Silo.CommandLine;

/// <summary>A plan, or a refusal, as one line of JSON for programs.</summary>
internal static class PlanJson
{
    public static string Format(string model, PlanningResult result, IReadOnlyList<WorkerInventory> workers)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Json.WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("model"u8, model);
            if (result.Plan is { } plan)
                Write(json, plan, workers.ToDictionary(worker => worker.Worker, worker => worker.Host, StringComparer.Ordinal));
            else
                json.WriteString("refusal"u8, result.Refusal);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, PartitionPlan plan, Dictionary<string, string> hosts)
    {
        json.WriteNumber("stages"u8, plan.Stages);
        json.WriteNumber("ranks"u8, plan.Ranks);
        json.WriteNumber("kv_tokens"u8, plan.KvTokens);
        json.WriteNumber("step_ms"u8, Math.Round(plan.StepSeconds * 1000, 3));
        json.WriteNumber("period_ms"u8, Math.Round(plan.PeriodSeconds * 1000, 3));
        json.WriteStartArray("shards"u8);
        foreach (var shard in plan.Shards)
        {
            json.WriteStartObject();
            json.WriteNumber("stage"u8, shard.Slice.Place.Stage);
            json.WriteNumber("rank"u8, shard.Slice.Place.Rank);
            json.WriteString("worker"u8, shard.Worker);
            json.WriteString("host"u8, hosts[shard.Worker]);
            Write(json, "layers"u8, shard.Slice.Layers);
            Write(json, "heads"u8, shard.Slice.Heads);
            Write(json, "kv_heads"u8, shard.Slice.KvHeads);
            Write(json, "intermediate"u8, shard.Slice.Intermediate);
            Write(json, "vocabulary"u8, shard.Slice.Vocabulary);
            json.WriteNumber("weight_bytes"u8, shard.WeightBytes);
            json.WriteNumber("kv_bytes"u8, shard.KvBytes);
            json.WriteNumber("workspace_bytes"u8, shard.WorkspaceBytes);
            json.WriteNumber("step_ms"u8, Math.Round(shard.StepSeconds * 1000, 3));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, ReadOnlySpan<byte> name, Slice slice)
    {
        json.WriteStartObject(name);
        json.WriteNumber("first"u8, slice.First);
        json.WriteNumber("count"u8, slice.Count);
        json.WriteEndObject();
    }
}

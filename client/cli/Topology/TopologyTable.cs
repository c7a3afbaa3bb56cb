using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Granary.Client.Cli.Topology;

/// <summary>Lays a topology out for people. What a server leaves out is shown as a dash.</summary>
internal static class TopologyTable
{
    private const string None = "–";

    public static string Format(JsonObject topology)
    {
        var text = new StringBuilder();
        var workers = Items(topology, "workers");
        Table(text, ["WORKER", "HOST", "ZONE", "DEVICE", "CORES", "FREE", "MEMORY", "FREE", "REPLICAS", "SHARDS"], workers.Select(worker => new[]
        {
            Text(worker, "worker"), Text(worker, "host"), Text(worker, "zone"), Text(worker, "device"), Text(worker, "cores"), Text(worker, "free_cores"),
            Bytes(worker, "memory_bytes"), Bytes(worker, "free_bytes"), Count(worker, "replicas"), Count(worker, "shards"),
        }));
        Table(text, ["REPLICA", "EPOCH", "CUT", "RUNNING", "WAITING", "KV BLOCKS", "STEPS", "STEP"], workers.SelectMany(worker => Items(worker, "replicas")).Select(replica => new[]
        {
            Text(replica, "replica"), Text(replica, "epoch"), $"{Text(replica, "stages")}x{Text(replica, "ranks")}", Text(replica, "running_sequences"), Text(replica, "waiting_sequences"),
            $"{Text(replica, "kv_blocks_used")}/{Text(replica, "kv_blocks")}", Text(replica, "steps"), Milliseconds(replica, "seconds_per_decode_step"),
        }));
        var shards = workers.SelectMany(worker => Items(worker, "shards").Select(shard => (Worker: worker, Shard: shard)))
            .OrderBy(shard => Text(shard.Shard, "replica"), StringComparer.Ordinal).ThenBy(shard => Number(shard.Shard, "stage")).ThenBy(shard => Number(shard.Shard, "rank")).ToList();
        Table(text, ["SHARD", "WORKER", "REPLICA", "STATE", "MEMORY", "STEPS", "STEP", "WAIT"], shards.Select(shard => new[]
        {
            Place(shard.Shard), Text(shard.Worker, "worker"), Text(shard.Shard, "replica"), State(shard.Shard), Bytes(shard.Shard, "memory_bytes"),
            Text(shard.Shard, "steps"), Milliseconds(shard.Shard, "seconds_per_step"), Milliseconds(shard.Shard, "wait_seconds_per_step"),
        }));
        Table(text, ["LINK", "PURPOSE", "SENT", "FRAMES", "RECEIVED", "FRAMES"], shards.SelectMany(shard => Items(shard.Shard, "links").Select(link => new[]
        {
            $"{Place(shard.Shard)} – {Text(link, "peer")}", Text(link, "purpose"), Bytes(link, "bytes_sent"), Text(link, "frames_sent"), Bytes(link, "bytes_received"), Text(link, "frames_received"),
        })));
        foreach (var model in Items(topology, "models"))
        {
            foreach (var missing in Items(model, "missing")) text.Append(CultureInfo.InvariantCulture, $"\nMissing {Text(missing, "replica")}: {Text(missing, "reason")}\n");
        }

        return text.ToString().Trim('\n');
    }

    /// <summary>Columns that begin with a figure stand to the right, the others to the left; nothing where there is no row.</summary>
    private static void Table(StringBuilder text, string[] header, IEnumerable<string[]> rows)
    {
        var all = rows.ToList();
        if (all.Count == 0) return;
        var widths = header.Select((title, column) => all.Max(row => Math.Max(row[column].Length, title.Length))).ToArray();
        var right = header.Select((title, column) => title is not ("SHARD" or "LINK") && all.TrueForAll(row => row[column] == None || char.IsAsciiDigit(row[column][0]))).ToArray();
        text.Append('\n');
        foreach (var row in all.Prepend(header))
        {
            var line = string.Join("  ", row.Select((cell, column) => right[column] ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column])));
            text.Append(line.TrimEnd()).Append('\n');
        }
    }

    private static JsonObject[] Items(JsonObject from, string name) => from[name] is JsonArray array ? [.. array.OfType<JsonObject>()] : [];

    private static string Text(JsonObject from, string name) => from[name] is JsonValue value && value.ToString() is { Length: > 0 } text ? text : None;

    private static double Number(JsonObject from, string name) => from[name] is JsonValue value && value.TryGetValue(out double number) ? number : 0;

    private static string Count(JsonObject from, string name) => Items(from, name).Length.ToString(CultureInfo.InvariantCulture);

    private static string Place(JsonObject shard) => $"{Text(shard, "stage")}.{Text(shard, "rank")}";

    private static string State(JsonObject shard) => Text(shard, "state") is "loading"
        ? string.Create(CultureInfo.InvariantCulture, $"loading {100 * Number(shard, "progress"):0} %")
        : Text(shard, "state");

    private static string Milliseconds(JsonObject from, string name) =>
        Number(from, name) is > 0 and var seconds ? string.Create(CultureInfo.InvariantCulture, $"{1000 * seconds:0.00} ms") : None;

    private static string Bytes(JsonObject from, string name)
    {
        var bytes = Number(from, name);
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        var unit = 0;
        for (; bytes >= 1024 && unit < units.Length - 1; unit++) bytes /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{bytes:0.#} {units[unit]}");
    }
}

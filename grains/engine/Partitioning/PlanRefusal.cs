using System.Globalization;
using System.Text;

namespace Granary.Engine.Partitioning;

/// <summary>Why nothing fits, with the numbers.</summary>
internal static class PlanRefusal
{
    private const int ListedWorkers = 16;

    /// <param name="least">The cut of the fewest shards that was asked for.</param>
    /// <param name="most">The cut of the most.</param>
    public static string Tell(Cut least, Cut most, PartitionRequest request)
    {
        var sites = least.Sites;
        var text = new StringBuilder();
        var shards = least.Stages * least.Ranks;
        text.Append(CultureInfo.InvariantCulture, $"No replica of {Asked(request.Stages, "stage")} and {Asked(request.Ranks, "rank")} fits. ");
        if (sites.SlotCount < shards)
        {
            text.Append(CultureInfo.InvariantCulture, $"Its {Count(shards, "shard")} need {Count(request.ThreadsPerShard, "core")} each; there are enough for {sites.SlotCount}.");
        }
        else
        {
            text.Append(CultureInfo.InvariantCulture, $"Cut into {least.Stages} × {least.Ranks} it takes {Sum(least)}");
            if (most.Stages * most.Ranks > shards && (long)most.Stages * most.Ranks <= sites.SlotCount)
                text.Append(CultureInfo.InvariantCulture, $", into {most.Stages} × {most.Ranks} {Sum(most)}");
            var free = sites.All.Where((_, worker) => sites.Slots[worker] > 0).Aggregate((Int128)0, (sum, worker) => sum + worker.FreeBytes);
            text.Append(CultureInfo.InvariantCulture, $"; the workers with {Count(request.ThreadsPerShard, "free core")} or more have {Of(free)}.");
        }

        foreach (var (worker, index) in sites.All.Select((worker, index) => (worker, index)).OrderByDescending(entry => entry.worker.FreeBytes).Take(ListedWorkers))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n  {worker.Worker}: {ByteText.Of(worker.FreeBytes)} and {Count(worker.FreeCores, "core")} free");
            text.Append(sites.Slots[index] == 0
                ? ": too few cores."
                : string.Create(CultureInfo.InvariantCulture, $", {Layers(least, worker)} of {least.Model.LayerCount} layers{(least.Ranks == 1 ? "" : $" cut into {least.Ranks} ranks")}{Wider(least, most, worker)}."));
        }

        if (sites.All.Length > ListedWorkers) text.Append(CultureInfo.InvariantCulture, $"\n  and {sites.All.Length - ListedWorkers} more with less.");
        return text.ToString();
    }

    private static string Asked(int count, string what) => count == 0 ? $"any number of {what}s" : Count(count, what);

    private static string Count(int count, string what) => string.Create(CultureInfo.InvariantCulture, $"{count} {what}{(count == 1 ? "" : "s")}");

    private static string Sum(Cut cut)
    {
        Int128 weights = 0, kv = 0, workspace = 0;
        for (var rank = 0; rank < cut.Ranks; rank++)
        {
            weights += cut.Costs[rank].WeightBytes(cut.Model.LayerCount, new StageRole(true, true)) + ((cut.Stages - 1) * cut.Costs[rank].WeightBytes(0, default));
            kv += (Int128)cut.Model.LayerCount * cut.Costs[rank].KvBytes(1, cut.KvTokens);
            for (var stage = 0; stage < cut.Stages; stage++) workspace += cut.Costs[rank].WorkspaceBytes(StageRole.Of(stage, cut.Stages));
        }

        return $"{Of(weights + kv + workspace)} ({Of(weights)} of weights, {Of(kv)} of KV cache for {cut.KvTokens} tokens, {Of(workspace)} of workspace)";
    }

    private static string Wider(Cut least, Cut most, WorkerInventory worker) =>
        most.Ranks == least.Ranks ? "" : string.Create(CultureInfo.InvariantCulture, $", {Layers(most, worker)} cut into {Count(most.Ranks, "rank")}");

    /// <summary>Of a stage between first and last, which has neither embedding nor head.</summary>
    private static long Layers(Cut cut, WorkerInventory worker) => Math.Max(0, worker.FreeBytes - cut.FixedBytes(cut.Ranks - 1, default)) / cut.LayerBytes(cut.Ranks - 1);

    private static string Of(Int128 bytes) => ByteText.Of((long)Int128.Min(bytes, long.MaxValue));
}

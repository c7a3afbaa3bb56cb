using System.Globalization;
using System.Text;

namespace Granary.Engine.Partitioning;

/// <summary>A plan as people read it: a line a shard.</summary>
public static class PlanTable
{
    private static readonly string[] Columns =
        ["stage", "rank", "worker", "host", "layers", "heads", "KV heads", "FFN columns", "vocabulary", "weights", "KV", "workspace", "of memory", "step"];

    /// <param name="plan">What to print.</param>
    /// <param name="workers">Those it was made for.</param>
    public static string Format(PartitionPlan plan, IReadOnlyList<WorkerInventory> workers)
    {
        var known = workers.ToDictionary(worker => worker.Worker, StringComparer.Ordinal);
        var rows = plan.Shards.Select(shard => Row(shard, known[shard.Worker])).Prepend(Columns).ToArray();
        var widths = Enumerable.Range(0, Columns.Length).Select(column => rows.Max(row => row[column].Length)).ToArray();
        var text = new StringBuilder();
        foreach (var row in rows)
        {
            for (var column = 0; column < row.Length; column++)
            {
                if (column > 0) text.Append("  ");
                // Names to the left, numbers to the right.
                text.Append(column is 2 or 3 ? row[column].PadRight(widths[column]) : row[column].PadLeft(widths[column]));
            }

            text.Append('\n');
        }

        var bytes = plan.Shards.Sum(shard => shard.TotalBytes);
        text.Append(CultureInfo.InvariantCulture, $"{Count(plan.Stages, "stage")} × {Count(plan.Ranks, "rank")}, KV cache of {plan.KvTokens} tokens, {ByteText.Of(bytes)} in all. Leader: {plan.Shards[0].Worker}.\n");
        text.Append(CultureInfo.InvariantCulture, $"Predicted for {RankCosts.Rows} decoding sequences: a step of {Milliseconds(plan.StepSeconds)}; with a step in every stage one each {Milliseconds(plan.PeriodSeconds)}.");
        return text.ToString();
    }

    private static string[] Row(ShardPlan shard, WorkerInventory worker)
    {
        var slice = shard.Slice;
        var hasVocabulary = slice.IsFirstStage || slice.IsLastStage;
        return
        [
            Number(slice.Place.Stage), Number(slice.Place.Rank), shard.Worker, worker.Host, Run(slice.Layers), Run(slice.Heads), Run(slice.KvHeads), Run(slice.Intermediate),
            hasVocabulary ? Run(slice.Vocabulary) : "–", ByteText.Of(shard.WeightBytes), ByteText.Of(shard.KvBytes), ByteText.Of(shard.WorkspaceBytes),
            string.Create(CultureInfo.InvariantCulture, $"{100.0 * shard.TotalBytes / worker.FreeBytes:0} %"), Milliseconds(shard.StepSeconds),
        ];
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Run(Slice slice) => slice.Count == 1 ? Number(slice.First) : $"{Number(slice.First)}–{Number(slice.End - 1)}";

    private static string Count(int count, string what) => $"{Number(count)} {what}{(count == 1 ? "" : "s")}";

    private static string Milliseconds(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1000:0.0#} ms");
}

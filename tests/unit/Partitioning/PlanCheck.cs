using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>What must hold of any plan.</summary>
internal static class PlanCheck
{
    public static void Check(ModelShape model, IReadOnlyList<WorkerInventory> workers, PartitionRequest request, PartitionPlan plan)
    {
        CoverageCheck.Check(model, [.. plan.Shards.Select(shard => shard.Slice)]);
        Assert.Equal(plan.Stages * plan.Ranks, plan.Shards.Count);
        if (request.Stages > 0) Assert.Equal(request.Stages, plan.Stages);
        if (request.Ranks > 0) Assert.Equal(request.Ranks, plan.Ranks);
        Assert.Equal(0, plan.KvTokens % request.KvBlockTokens);
        Assert.InRange(plan.KvTokens, Math.Max(1, request.KvTokens), int.MaxValue);
        Assert.All(plan.Shards, shard =>
        {
            Assert.Equal(2L * Element(model) * shard.Slice.Layers.Count * shard.Slice.KvHeads.Count * model.HeadSize * plan.KvTokens, shard.KvBytes);
            Assert.True(shard.WeightBytes >= LeastWeightBytes(model, shard.Slice), $"{shard.Slice.Place} has {shard.WeightBytes} bytes of weights, least {LeastWeightBytes(model, shard.Slice)}");
            Assert.True(shard.WorkspaceBytes > 0 && shard.StepSeconds > 0);
        });
        foreach (var shards in plan.Shards.GroupBy(shard => shard.Worker))
        {
            var worker = workers.Single(candidate => candidate.Worker == shards.Key);
            Assert.True(shards.Sum(shard => shard.TotalBytes) <= worker.FreeBytes, $"{shards.Key} takes {shards.Sum(shard => shard.TotalBytes)} of {worker.FreeBytes} bytes");
            var cores = worker.DeviceKind == "cpu" ? request.ThreadsPerShard : 1;
            Assert.True(shards.Count() * cores <= worker.FreeCores, $"{shards.Key} takes {shards.Count()} times {cores} of {worker.FreeCores} cores");
        }

        Assert.Equal(plan.StepSeconds, plan.Shards.Where(shard => shard.Slice.Place.Rank == 0).Sum(shard => shard.StepSeconds), 9);
        Assert.Equal(plan.PeriodSeconds, plan.Shards.Max(shard => shard.StepSeconds), 9);
    }

    /// <summary>Elements of the slice's matrices, counted independently of the planner, in the bits they are stored in.</summary>
    private static long LeastWeightBytes(ModelShape model, ShardSlice slice)
    {
        long queries = (long)slice.Heads.Count * model.HeadSize, keys = (long)slice.KvHeads.Count * model.HeadSize;
        var layer = model.HiddenSize * ((2 * queries) + (2 * keys) + (3L * slice.Intermediate.Count));
        var table = (long)model.HiddenSize * slice.Vocabulary.Count;
        return (((slice.Layers.Count * layer) + (slice.IsLastStage ? table : 0)) * model.WeightBits / 8) + (slice.IsFirstStage ? Element(model) * table : 0);
    }

    /// <summary>Bytes of what is not quantized.</summary>
    private static int Element(ModelShape model) => model.WeightBits == 16 ? 2 : sizeof(float);
}

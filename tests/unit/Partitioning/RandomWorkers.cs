using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>Clusters that are tight for a model: neither does everything fit nor nothing.</summary>
internal static class RandomWorkers
{
    /// <summary>About what a model takes on one device.</summary>
    public static long NeedOf(ModelShape model)
    {
        long heads = model.HeadCount * model.HeadSize, kv = model.KvHeadCount * model.HeadSize;
        return (8L * model.HiddenSize * model.VocabularySize) + (4L * model.LayerCount * model.HiddenSize * ((2 * heads) + (2 * kv) + (3 * model.IntermediateSize)));
    }

    /// <param name="bytes">About the bytes of a worker, beside a session's own.</param>
    public static WorkerInventory[] Of(Random random, int count, long bytes)
    {
        var hosts = random.Next(1, count + 1);
        var alike = random.Next(2) == 0;
        return [.. Enumerable.Range(0, count).Select(i => new WorkerInventory
        {
            Worker = $"silo{i:000}/cpu",
            DeviceKind = random.Next(5) == 0 ? "cuda" : "cpu",
            Silo = $"silo{i:000}",
            Host = $"host{i % hosts}",
            Zone = $"zone{i % hosts % 3}",
            FreeBytes = (24L << 20) + (alike ? bytes : random.NextInt64(2 * bytes)),
            FreeCores = random.Next(0, 9),
            FlopsPerSecond = alike ? 0 : random.NextDouble() * 1e10,
            BytesPerSecond = alike ? 0 : random.NextDouble() * 1e10,
        })];
    }
}

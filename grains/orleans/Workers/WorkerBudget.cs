using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Workers;

/// <summary>What a worker has, from real numbers, and whether one more replica fits.</summary>
/// <param name="Cores">Cores it may give.</param>
/// <param name="MemoryBytes">Bytes the process may use.</param>
/// <param name="UsedBytes">Bytes the process uses.</param>
/// <param name="MinFreeBytes">Bytes that must be free for one more.</param>
internal sealed record WorkerBudget(int Cores, long MemoryBytes, long UsedBytes, long MinFreeBytes)
{
    public static WorkerBudget Measure(WorkerOptions options) => new(
        options.Cores > 0 ? options.Cores : Environment.ProcessorCount,
        options.MemoryBytes > 0 ? options.MemoryBytes : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        Environment.WorkingSet, options.MinFreeBytes);

    /// <exception cref="ModelLoadException">It does not fit; the message says what is asked and what is there.</exception>
    public void Require(ReplicaSpec spec, IEnumerable<ReplicaSpec> loaded, string worker)
    {
        if (spec.IntraOpThreads < 1)
            throw new ModelLoadException($"Replica '{spec.ReplicaId}' asks for {spec.IntraOpThreads} threads; it must be at least 1.");
        if (spec.KvBlocks < 0)
            throw new ModelLoadException($"Replica '{spec.ReplicaId}' asks for {spec.KvBlocks} KV blocks; it must be at least 0.");

        var given = loaded.Where(other => other.ReplicaId != spec.ReplicaId).Sum(other => other.IntraOpThreads);
        if (given + spec.IntraOpThreads > Cores)
        {
            throw new ModelLoadException(
                $"Replica '{spec.ReplicaId}' asks for {spec.IntraOpThreads} cores; worker '{worker}' has {Cores} and {given} are given away.");
        }

        if (UsedBytes + MinFreeBytes > MemoryBytes)
        {
            throw new ModelLoadException(
                $"Replica '{spec.ReplicaId}' cannot be loaded: worker '{worker}' uses {UsedBytes >> 20} MiB of {MemoryBytes >> 20} MiB, and {MinFreeBytes >> 20} MiB must be free.");
        }
    }
}

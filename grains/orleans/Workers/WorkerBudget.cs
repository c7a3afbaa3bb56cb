using Granary.GrainInterfaces.Errors;

namespace Granary.Grains.Workers;

/// <summary>What a worker has, from real numbers, and whether one more replica or shard fits.</summary>
/// <param name="Cores">Cores it may give.</param>
/// <param name="GivenCores">Of those, given away.</param>
/// <param name="MemoryBytes">Bytes the silo may use.</param>
/// <param name="UsedBytes">Bytes the silo uses, or has promised to what it loaded.</param>
/// <param name="MinFreeBytes">Bytes that must be free for one more.</param>
internal sealed record WorkerBudget(int Cores, int GivenCores, long MemoryBytes, long UsedBytes, long MinFreeBytes)
{
    public int FreeCores => Math.Max(0, Cores - GivenCores);

    /// <summary>Bytes that one more may take.</summary>
    public long FreeBytes => Math.Max(0, MemoryBytes - UsedBytes - MinFreeBytes);

    /// <param name="promisedBytes">Of weights and caches that are loaded; not all of it is resident yet.</param>
    public static WorkerBudget Measure(WorkerOptions options, int givenCores, long promisedBytes) => new(
        options.Cores > 0 ? options.Cores : Environment.ProcessorCount, givenCores,
        options.MemoryBytes > 0 ? options.MemoryBytes : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        options.HasOwnMemory ? promisedBytes : Math.Max(Environment.WorkingSet / options.SilosOfProcess, promisedBytes), options.MinFreeBytes);

    /// <param name="what">What is to be loaded, as <c>Replica '…'</c>.</param>
    /// <param name="threads">Cores it asks for.</param>
    /// <param name="kvBlocks">KV blocks it asks for; 0 for as many as there is room for.</param>
    /// <exception cref="ModelLoadException">It does not fit; the message says what is asked and what is there.</exception>
    public void Require(string what, int threads, int kvBlocks, string worker)
    {
        if (threads < 1) throw new ModelLoadException($"{what} asks for {threads} threads; it must be at least 1.");
        if (kvBlocks < 0) throw new ModelLoadException($"{what} asks for {kvBlocks} KV blocks; it must be at least 0.");
        if (GivenCores + threads > Cores)
            throw new ModelLoadException($"{what} asks for {threads} cores; worker '{worker}' has {Cores} and {GivenCores} are given away.");
        if (UsedBytes + MinFreeBytes > MemoryBytes)
        {
            throw new ModelLoadException(
                $"{what} cannot be loaded: worker '{worker}' uses {UsedBytes >> 20} MiB of {MemoryBytes >> 20} MiB, and {MinFreeBytes >> 20} MiB must be free.");
        }
    }
}

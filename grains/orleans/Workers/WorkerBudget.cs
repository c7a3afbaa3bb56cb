using Granary.GrainInterfaces.Errors;

namespace Granary.Grains.Workers;

/// <summary>What a worker has, from real numbers, and whether one more replica or shard fits.</summary>
/// <param name="Cores">Cores it may give.</param>
/// <param name="GivenCores">Of those, given away.</param>
/// <param name="MemoryBytes">Bytes the silo may use.</param>
/// <param name="UsedBytes">Bytes the silo uses, or has promised to what it loaded.</param>
/// <param name="MinFreeBytes">Bytes that must be free for one more.</param>
/// <param name="CopyBytes">Of the used bytes, those that copies of KV caches may come to take and have not touched yet.</param>
internal sealed record WorkerBudget(int Cores, int GivenCores, long MemoryBytes, long UsedBytes, long MinFreeBytes, long CopyBytes = 0)
{
    public int FreeCores => Math.Max(0, Cores - GivenCores);

    /// <summary>Bytes that one more may take.</summary>
    public long FreeBytes => Math.Max(0, MemoryBytes - UsedBytes - MinFreeBytes);

    /// <param name="promisedBytes">Of weights and caches that are loaded; not all of it is resident yet.</param>
    /// <param name="copyBytes">As <see cref="CopyBytes"/>. Copies are in the process's memory, whatever the device has.</param>
    public static WorkerBudget Measure(WorkerOptions options, int givenCores, long promisedBytes, long copyBytes)
    {
        if (options.HasOwnMemory) copyBytes = 0;
        return new(
            options.Cores > 0 ? options.Cores : Environment.ProcessorCount, givenCores,
            options.MemoryBytes > 0 ? options.MemoryBytes : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            options.HasOwnMemory ? promisedBytes : Math.Max((Environment.WorkingSet / options.SilosOfProcess) + copyBytes, promisedBytes),
            options.MinFreeBytes, copyBytes);
    }

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
                $"{what} cannot be loaded: worker '{worker}' uses {Used} of {MemoryBytes >> 20} MiB, and {MinFreeBytes >> 20} MiB must be free.");
        }
    }

    /// <param name="what">What was loaded, as <c>Replica '…'</c>.</param>
    /// <exception cref="ModelLoadException">With what it may come to take there is not enough memory; the message adds up.</exception>
    public void RequireKept(string what, string worker)
    {
        if (CopyBytes > 0 && UsedBytes > MemoryBytes)
        {
            throw new ModelLoadException(
                $"{what} cannot be kept: worker '{worker}' would use {Used} of {MemoryBytes >> 20} MiB; Granary:Kv:HostCacheBytes, of each replica, must be lower by {((UsedBytes - MemoryBytes) >> 20) + 1} MiB in all.");
        }
    }

    private string Used => CopyBytes == 0
        ? $"{UsedBytes >> 20} MiB"
        : $"{UsedBytes >> 20} MiB ({(UsedBytes - CopyBytes) >> 20} MiB now, {CopyBytes >> 20} MiB that copies of KV caches may still take)";
}

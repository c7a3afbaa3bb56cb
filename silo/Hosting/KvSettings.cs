using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;

namespace Granary.Silo.Hosting;

/// <summary>Tiers of the KV cache, from the settings.</summary>
internal static class KvSettings
{
    private const long MostByDefault = 1L << 30;
    private const long MostCachesByDefault = 4;
    private const long LargestCache = 1L << 46;

    public static IEnumerable<string> Check(GranaryOptions options)
    {
        var kv = options.Kv;
        if (kv.HostCacheBytes is < 0 or > LargestCache) yield return $"Granary:Kv:HostCacheBytes is {kv.HostCacheBytes}; it must be from 0 to {LargestCache}.";
        if (kv.DiskCacheBytes is < 0 or > LargestCache) yield return $"Granary:Kv:DiskCacheBytes is {kv.DiskCacheBytes}; it must be from 0 to {LargestCache}.";
        if (kv.DiskCacheBytes == 0) yield break;
        if (string.IsNullOrWhiteSpace(kv.DiskFolder)) yield return $"Granary:Kv:DiskFolder is empty; with Granary:Kv:DiskCacheBytes {kv.DiskCacheBytes} it must be a folder.";
        if (kv.HostCacheBytes == 0) yield return $"Granary:Kv:HostCacheBytes is 0; with Granary:Kv:DiskCacheBytes {kv.DiskCacheBytes} it must be above, as blocks go to the disk by way of memory.";
    }

    /// <summary>Memory for copies; of an executor whose blocks cannot be copied, none.</summary>
    /// <param name="memory">Bytes that the silo's replicas share.</param>
    /// <exception cref="ModelSessionException">The settings ask for more than there is.</exception>
    public static long HostCacheBytes(GranaryOptions settings, long memory, IStepExecutor executor)
    {
        if (executor.BlockStore is not { } blocks) return 0;
        if (settings.Kv.HostCacheBytes > memory / Math.Max(1, settings.Replicas))
        {
            throw new ModelSessionException(
                $"Granary:Kv:HostCacheBytes is {settings.Kv.HostCacheBytes} for each of {Math.Max(1, settings.Replicas)} replicas; the silo may use {memory} bytes in all, weights and caches included.");
        }

        var cache = (long)executor.Shape.KvBlockCount * blocks.BlockBytes;
        return settings.Kv.HostCacheBytes ?? Math.Min(MostByDefault, Math.Min(memory / Math.Max(1, settings.Replicas) / 10, MostCachesByDefault * cache));
    }

    /// <returns>Null where none is wanted, or the executor's blocks cannot be copied.</returns>
    /// <exception cref="ModelSessionException">The folder cannot be written, or the disk has not so much room.</exception>
    public static IKvSlots? OpenDisk(GranaryOptions settings, IStepExecutor executor)
    {
        if (settings.Kv is not { DiskCacheBytes: > 0, DiskFolder: { } folder } kv || executor.BlockStore is not { } blocks) return null;
        try
        {
            return KvSlotFile.Create(folder, kv.DiskCacheBytes, blocks.BlockBytes);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ModelSessionException($"Granary:Kv:DiskFolder is {folder}, with {kv.DiskCacheBytes} bytes: {exception.Message}", exception);
        }
    }

    /// <summary>Whether the settings ask for what this executor cannot do.</summary>
    public static bool AsksInVain(GranaryOptions settings, IStepExecutor executor) =>
        executor.BlockStore is null && (settings.Kv.HostCacheBytes > 0 || settings.Kv.DiskCacheBytes > 0);
}

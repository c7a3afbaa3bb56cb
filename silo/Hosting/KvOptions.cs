namespace Granary.Silo.Hosting;

/// <summary>Slower memory behind the KV cache of each replica: what the device has no more room for is copied there, and back instead of being computed.</summary>
/// <remarks>Of whole replicas on the CPU. A GPU's blocks, and those of replicas that are cut, are not copied.</remarks>
public sealed class KvOptions
{
    /// <summary>Bytes of memory for copies, of each replica; touched only as they are used.</summary>
    /// <value>Default: a tenth of a replica's part of the memory, at most 1 GiB and four times the KV cache. 0 for none.</value>
    public long? HostCacheBytes { get; set; }

    /// <summary>Bytes of disk for copies that leave the memory, of each replica; taken at start. Needs <see cref="DiskFolder"/>.</summary>
    /// <value>Default 0: none.</value>
    public long DiskCacheBytes { get; set; }

    /// <summary>Where the disk's part lies, in files without a name that end with the process.</summary>
    public string? DiskFolder { get; set; }
}

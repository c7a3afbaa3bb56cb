using System.Security.Cryptography;

namespace Granary.Silo.Hosting;

/// <summary>What the silos of this process share: one of them alone, or several that are a cluster of their own.</summary>
internal sealed class SiloGroup : IDisposable
{
    private readonly GranaryOptions _options;
    private readonly Lock _gate = new();
    private DirectoryInfo? _sockets;
    private DeviceFigures? _figures;
    private bool _disposed;

    public SiloGroup(GranaryOptions options)
    {
        _options = options;
        // Several silos alone on one machine must not meet, so each takes ports of its own.
        PrimaryPort = options.Cluster.SiloPort > 0 ? options.Cluster.SiloPort : FreePort.Find();
    }

    public int Count => Math.Max(1, _options.Silos);

    /// <summary>Where the others find the first.</summary>
    public int PrimaryPort { get; }

    /// <summary>What their links trust each other by, where nothing is configured.</summary>
    public byte[] Secret { get; } = RandomNumberGenerator.GetBytes(32);

    /// <summary>A Unix socket in a folder that only this user can open.</summary>
    public string SocketOf(int index)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _sockets ??= Directory.CreateTempSubdirectory("granary-");
            return $"unix:{Path.Combine(_sockets.FullName, $"links-{index + 1}")}";
        }
    }

    /// <summary>The part of the cores that one silo gives away; each has one at least, and that is all where its device is not the CPU.</summary>
    public int CoresOf(int index)
    {
        var cores = _options.Cores > 0 ? _options.Cores : _options.Device.IsCpu ? Environment.ProcessorCount : Count;
        return Math.Max(1, (cores / Count) + (index < cores % Count ? 1 : 0));
    }

    /// <summary>Bytes of the device's memory, or of the machine's where the device has none of its own.</summary>
    public long MemoryOfEach => Memory / Count;

    /// <summary>Cores of a replica's engine, or of each shard, where the settings leave it open.</summary>
    public int Threads
    {
        get
        {
            if (!_options.Device.IsCpu) return 1; // The device as a whole.
            if (_options.Threads > 0) return _options.Threads;
            var replicas = Math.Max(1, _options.Replicas);
            if (_options.IsWhole || !LinkSettings.IsAlone(_options)) return Math.Max(1, CoresOf(Count - 1) / ((replicas + Count - 1) / Count)); // In a cluster one shard a silo is the rule.
            var shards = Math.Max(1, _options.Stages) * Math.Max(1, _options.Ranks) * replicas;
            var all = Enumerable.Range(0, Count).Select(CoresOf).ToArray();
            return Math.Clamp(all.Sum() / shards, 1, all.Min());
        }
    }

    // Settings without a size, of a device whose driver tells none, were refused.
    private long Memory => _options.Device.HasOwnMemory
        ? _options.Device.MemoryBytes > 0 ? _options.Device.MemoryBytes : CudaDriver.FindMemoryBytes(_options.Device.Id) ?? 0
        : _options.MemoryBytes > 0 ? _options.MemoryBytes : GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>How fast the machine is; of its bandwidth each silo has an equal part.</summary>
    public DeviceFigures Measure(TimeProvider time)
    {
        lock (_gate)
        {
            if (_figures is null)
            {
                var all = DeviceProbe.Measure(Enumerable.Range(0, Count).Sum(CoresOf), time);
                _figures = all with { BytesPerSecond = all.BytesPerSecond / Count };
            }

            return _figures;
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed) return;
            _disposed = true;
            _sockets?.Delete(recursive: true);
        }
    }
}

/// <summary>One silo of the process.</summary>
/// <param name="Index">0 is the first: it serves HTTP and brings the models up.</param>
internal sealed record SiloPlace(SiloGroup Group, int Index)
{
    public bool IsFirst => Index == 0;
}

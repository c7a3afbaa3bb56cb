namespace Granary.Engine.Partitioning;

/// <summary>How far apart two shards are.</summary>
internal enum Distance
{
    SameWorker = 0,
    SameHost = 1,
    SameZone = 2,
    Far = 3,
}

/// <summary>The workers of one planning, in the order of their keys, with what has to be looked up often.</summary>
internal sealed class Sites
{
    // Where nothing was measured: a modest core and its memory, a modest accelerator. Only their proportions decide.
    private const double CpuFlops = 8e9, CpuBytes = 1e10, DeviceFlops = 1e13, DeviceBytes = 5e11;

    // Seconds of a frame, and bytes a second: memory, loopback, a rack's network, between sites. Nobody measures links before there are any.
    private static readonly (double Latency, double Bandwidth)[] Links = [(1e-5, 8e9), (3e-5, 4e9), (1e-4, 1e9), (1e-3, 2.5e8)];

    private readonly int[] _hosts;
    private readonly int[] _zones;
    private readonly int _threads;

    /// <exception cref="PartitionException">Two workers have one key, or a figure is negative.</exception>
    public Sites(IEnumerable<WorkerInventory> workers, int threads)
    {
        _threads = threads;
        All = [.. workers.OrderBy(worker => worker.Worker, StringComparer.Ordinal)];
        for (var i = 0; i < All.Length; i++)
        {
            if (i > 0 && All[i].Worker == All[i - 1].Worker) throw new PartitionException($"Worker {All[i].Worker} is there twice.");
            if (All[i].FreeBytes < 0 || All[i].FreeCores < 0) throw new PartitionException($"Worker {All[i].Worker} has {All[i].FreeBytes} bytes and {All[i].FreeCores} cores free; neither may be negative.");
            if (!(All[i].FlopsPerSecond >= 0) || !(All[i].BytesPerSecond >= 0)) throw new PartitionException($"Worker {All[i].Worker} has a speed below 0.");
        }

        _hosts = Number(worker => worker.Host);
        _zones = Number(worker => worker.Zone);
        Slots = [.. All.Select(worker => IsCpu(worker) ? worker.FreeCores / threads : worker.FreeCores)];
        SlotCount = Slots.Sum(slots => (long)slots);
    }

    public WorkerInventory[] All { get; }

    /// <summary>Shards for which each worker has cores.</summary>
    public int[] Slots { get; }

    public long SlotCount { get; }

    public int Host(int worker) => _hosts[worker];

    public int Zone(int worker) => _zones[worker];

    public Distance Between(int one, int other) =>
        one == other ? Distance.SameWorker
        : _hosts[one] == _hosts[other] ? Distance.SameHost
        : _zones[one] == _zones[other] ? Distance.SameZone
        : Distance.Far;

    /// <summary>Of the two of them that are farthest apart.</summary>
    public Distance Spread(int[] workers)
    {
        var most = Distance.SameWorker;
        for (var i = 1; i < workers.Length; i++)
        {
            for (var j = 0; j < i && most < Distance.Far; j++) most = (Distance)Math.Max((int)most, (int)Between(workers[i], workers[j]));
        }

        return most;
    }

    /// <summary>Bytes a second that one of several shards of a worker reads.</summary>
    public double BytesPerSecond(int worker, int shards)
    {
        var measured = All[worker].BytesPerSecond;
        return (measured > 0 ? measured : IsCpu(All[worker]) ? CpuBytes : DeviceBytes) / shards;
    }

    /// <summary>Multiply-adds a second of one of several shards of a worker. On a CPU each has its own cores.</summary>
    public double FlopsPerSecond(int worker, int shards)
    {
        var measured = All[worker].FlopsPerSecond;
        return IsCpu(All[worker]) ? _threads * (measured > 0 ? measured : CpuFlops) : (measured > 0 ? measured : DeviceFlops) / shards;
    }

    /// <summary>Until a frame of so many bytes is there.</summary>
    public static double LinkSeconds(Distance distance, double bytes)
    {
        var (latency, bandwidth) = Links[(int)distance];
        return latency + (bytes / bandwidth);
    }

    private static bool IsCpu(WorkerInventory worker) => worker.DeviceKind == "cpu";

    private int[] Number(Func<WorkerInventory, string> name)
    {
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        return [.. All.Select(worker => numbers.TryGetValue(name(worker), out var number) ? number : numbers[name(worker)] = numbers.Count)];
    }
}

using System.Globalization;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Partitioning;
using Granary.Silo.Hosting;

namespace Granary.Silo.CommandLine;

/// <summary>The workers that a plan is made for: this machine's, or ones that are described.</summary>
internal static class PlanWorkers
{
    // What a silo itself takes, and what it wants free before it loads anything.
    private const long SiloBytes = 256L << 20;

    public const string Form = "HOST:CORES:MEMORY[:GBPS]";

    /// <summary>This machine's cores and memory, measured.</summary>
    public static WorkerInventory ThisMachine()
    {
        var (cores, figures) = (Environment.ProcessorCount, DeviceProbe.Measure(Environment.ProcessorCount, TimeProvider.System));
        return Worker(Environment.MachineName, ExecutionProviders.Cpu, cores, Math.Max(0, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes - SiloBytes)) with
        {
            FlopsPerSecond = figures.FlopsPerSecond,
            BytesPerSecond = figures.BytesPerSecond,
        };
    }

    /// <summary>Reads descriptions; workers of one host get names of their own.</summary>
    /// <param name="device">The kind of all of them.</param>
    /// <returns>Null, and what is wrong, where one cannot be read.</returns>
    public static WorkerInventory[]? Parse(IReadOnlyList<string> descriptions, string device, out string? error)
    {
        var workers = new List<WorkerInventory>();
        foreach (var text in descriptions)
        {
            if (Parse(text, device, out error) is not { } worker) return null;
            var same = workers.Count(other => other.Host == worker.Host);
            workers.Add(same == 0 ? worker : worker with { Silo = $"{worker.Host}-{same + 1}", Worker = $"{worker.Host}-{same + 1}/{device}" });
        }

        error = null;
        return [.. workers];
    }

    private static WorkerInventory? Parse(string text, string device, out string? error)
    {
        error = null;
        var parts = text.Split(':');
        if (parts.Length is < 3 or > 4 || parts[0].Length == 0)
            error = $"--worker is '{text}'; it must be {Form}, as node1:16:64GiB:40.";
        else if (!int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var cores) || cores is < 1 or > 4096)
            error = $"--worker '{text}' has '{parts[1]}' cores; there must be 1 to 4096.";
        else if (Bytes(parts[2]) is not { } bytes)
            error = $"--worker '{text}' has '{parts[2]}' of memory; it must be a number with MiB, GiB or TiB, below 1024 TiB.";
        else if (parts.Length == 3)
            return Worker(parts[0], device, cores, bytes);
        else if (!double.TryParse(parts[3], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var gigabytes) || gigabytes is not (> 0 and <= 1e6))
            error = $"--worker '{text}' reads '{parts[3]}' GB of memory a second; it must be a number above 0.";
        else
            return Worker(parts[0], device, cores, bytes) with { BytesPerSecond = gigabytes * 1e9 };
        return null;
    }

    private static long? Bytes(string text)
    {
        foreach (var (unit, shift) in (ReadOnlySpan<(string, int)>)[("TiB", 40), ("GiB", 30), ("MiB", 20), ("T", 40), ("G", 30), ("M", 20)])
        {
            if (!text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)) continue;
            if (!double.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) return null;
            var bytes = number * (1L << shift);
            return bytes is > 0 and < 1024.0 * (1L << 40) ? (long)bytes : null;
        }

        return null;
    }

    private static WorkerInventory Worker(string host, string device, int cores, long bytes) =>
        new() { Worker = $"{host}/{device}", DeviceKind = device, Silo = host, Host = host, FreeBytes = bytes, FreeCores = cores };
}

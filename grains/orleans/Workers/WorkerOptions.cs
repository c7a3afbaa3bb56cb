using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>What a worker may give to replicas.</summary>
public sealed class WorkerOptions
{
    /// <summary>The device that the worker is, as its key and its reports name it.</summary>
    /// <value>Default <c>cpu</c>.</value>
    [Required, RegularExpression("[a-z0-9_-]{1,32}")]
    public string Device { get; set; } = "cpu";

    /// <summary>The device has memory of its own: <see cref="MemoryBytes"/> is of that, and what was loaded is what is used of it.</summary>
    /// <value>Default false: it is the process's memory.</value>
    public bool HasOwnMemory { get; set; }

    /// <summary>Cores to give to engines; replicas that ask for more together are refused.</summary>
    /// <value>Default 0: those the process may use. A device that is not a CPU has one for each replica or shard that it may hold.</value>
    [Range(0, 4096)]
    public int Cores { get; set; }

    /// <summary>Bytes this silo may use, engines included.</summary>
    /// <value>Default 0: what the machine or the container allows; of a device with memory of its own it must be given.</value>
    [Range(0, long.MaxValue)]
    public long MemoryBytes { get; set; }

    /// <summary>Silos that this process holds; each is taken to use an equal part of what it uses.</summary>
    /// <value>Default 1.</value>
    [Range(1, 64)]
    public int SilosOfProcess { get; set; } = 1;

    /// <summary>Bytes that must be free before a replica is loaded.</summary>
    /// <value>Default 64 MiB: below it not even a small model fits, and a refusal is better than an end by the kernel.</value>
    [Range(0, long.MaxValue)]
    public long MinFreeBytes { get; set; } = 64L << 20;
}

[OptionsValidator]
internal sealed partial class WorkerOptionsValidator : IValidateOptions<WorkerOptions>;

using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>What a worker may give to replicas.</summary>
public sealed class WorkerOptions
{
    /// <summary>Cores to give to engines; replicas that ask for more together are refused.</summary>
    /// <value>Default 0: those the process may use.</value>
    [Range(0, 4096)]
    public int Cores { get; set; }

    /// <summary>Bytes this silo may use, engines included.</summary>
    /// <value>Default 0: what the machine or the container allows.</value>
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

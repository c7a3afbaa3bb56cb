using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How silos tell the cluster of their workers, and where this one stands.</summary>
public sealed class InventoryOptions
{
    /// <summary>How often a silo reports; it also reports when something begins or ends.</summary>
    /// <value>Default 2 s: figures of load and links are as old as that.</value>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00")]
    public TimeSpan ReportPeriod { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>The machine, as others name it: shards of one host reach each other without a network.</summary>
    /// <value>Default: the machine's name.</value>
    [Required, StringLength(100, MinimumLength = 1)]
    public string Host { get; set; } = Environment.MachineName;

    /// <summary>Failure and latency domain.</summary>
    /// <value>Default: none.</value>
    [StringLength(100)]
    public string Zone { get; set; } = "";
}

[OptionsValidator]
internal sealed partial class InventoryOptionsValidator : IValidateOptions<InventoryOptions>;

using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How long responses are kept, and how much of them.</summary>
public sealed class StoredResponseOptions
{
    /// <summary>How long a response can be asked for and gone on from.</summary>
    /// <value>Default 30 days, for a storage that outlives the cluster.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "40.00:00:00")]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromDays(30);

    /// <summary>Most bytes of the items that a response answers, all turns together; a conversation cannot go on beyond it.</summary>
    /// <value>Default 1 MiB. Every turn stores its conversation whole.</value>
    [Range(1024, 1 << 26)]
    public int MaxConversationBytes { get; set; } = 1 << 20;

    /// <summary>What responses may take of one silo's memory; the oldest are dropped beyond it.</summary>
    /// <value>
    /// Default 0: the storage is not memory. It bounds itself and clears what was not asked for again after <see cref="Lifetime"/>;
    /// activations are collected when idle. Above 0 an activation stays until its response ends, and clears it then.
    /// </value>
    [Range(0, long.MaxValue)]
    public long MemoryBytes { get; set; }
}

[OptionsValidator]
internal sealed partial class StoredResponseOptionsValidator : IValidateOptions<StoredResponseOptions>;

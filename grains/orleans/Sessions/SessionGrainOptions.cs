using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How long sessions live, and how large they get.</summary>
public sealed class SessionGrainOptions
{
    /// <summary>How long a session lives after it was used last.</summary>
    /// <value>Default 1 hour.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "40.00:00:00")]
    public TimeSpan IdleLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Most tokens of a history, prompt and answer together; a turn beyond them is answered and not taken over.</summary>
    /// <value>Default 262,144: about a megabyte of each active session.</value>
    [Range(1, 1 << 24)]
    public int MaxHistoryTokens { get; set; } = 1 << 18;

    /// <summary>What active sessions may take of one silo's memory; beyond it those that were used longest ago leave it.</summary>
    /// <value>Default 64 MiB.</value>
    [Range(1 << 14, long.MaxValue)]
    public long MemoryBytes { get; set; } = 64 << 20;

    /// <summary>Whether the storage is the silos' memory, so that a session that leaves it is gone.</summary>
    /// <value>Default true. A storage that outlives the silos keeps it, and its next use brings it back.</value>
    public bool IsStorageMemory { get; set; } = true;

    /// <summary>For how long after each turn the KV of its history is kept where it was computed.</summary>
    /// <value>Default 60 s: longer than most people take to ask again. 0 keeps nothing beyond what a cache does by itself.</value>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan PinLease { get; set; } = TimeSpan.FromSeconds(60);
}

[OptionsValidator]
internal sealed partial class SessionGrainOptionsValidator : IValidateOptions<SessionGrainOptions>;

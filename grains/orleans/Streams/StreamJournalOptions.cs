using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How long journals of streams are kept, and how much of them.</summary>
public sealed class StreamJournalOptions
{
    /// <summary>How long after its last write a stream can be gone on with.</summary>
    /// <value>Default 2 minutes: a client that lost its connection comes back within seconds.</value>
    [Range(typeof(TimeSpan), "00:00:00.001", "1.00:00:00")]
    public TimeSpan Retention { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>Most bytes of one stream: its request's body, ids and log-probabilities.</summary>
    /// <value>Default 1 MiB; it also bounds the largest message, which tells all of a stream again.</value>
    [Range(1024, 1 << 26)]
    public int MaxBytes { get; set; } = 1 << 20;

    /// <summary>What journals may take of one silo's memory; those that were written least recently are dropped beyond it.</summary>
    [Range(1 << 16, long.MaxValue)]
    public long MemoryBytes { get; set; } = 64 << 20;

    /// <summary>Each batch is written to the default storage as well, so that a stream outlives the silo of its journal together with its gateway.</summary>
    /// <value>Default false: a storage in memory is lost with its silo as the journal is.</value>
    public bool IsStored { get; set; }
}

[OptionsValidator]
internal sealed partial class StreamJournalOptionsValidator : IValidateOptions<StreamJournalOptions>;

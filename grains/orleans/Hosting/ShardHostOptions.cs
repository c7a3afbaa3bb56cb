using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>How long shards and the leaders of partitioned replicas wait for each other.</summary>
public sealed class ShardHostOptions
{
    /// <summary>How often a leader asks its shards how far they are while they load.</summary>
    /// <value>Default 2 s.</value>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:01:00")]
    public TimeSpan StatusPeriod { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>A shard that is not yet joined and whose leader has not asked for so long is ended: nobody else would free its memory.</summary>
    /// <value>Default 30 s: many questions may be lost before it. Once joined, a shard learns of a lost leader by its links.</value>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:10:00")]
    public TimeSpan LeaderSilenceLimit { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Most time a leader gives its shards to end, those that do not answer included.</summary>
    /// <value>Default 10 s.</value>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:10:00")]
    public TimeSpan UnloadTimeout { get; set; } = TimeSpan.FromSeconds(10);
}

[OptionsValidator]
internal sealed partial class ShardHostOptionsValidator : IValidateOptions<ShardHostOptions>;

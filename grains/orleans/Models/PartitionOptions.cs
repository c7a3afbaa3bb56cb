using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Granary.Grains;

/// <summary>What the engines of this silo may do in a step, which decides the memory that shards of a replica need beside weights and KV cache.</summary>
public sealed class PartitionOptions
{
    /// <summary>Tokens of a KV block on this silo's device: numbers of blocks are of these.</summary>
    /// <value>Default 16, the CPU's.</value>
    [Range(1, 4096)]
    public int KvBlockTokens { get; set; } = 16;

    /// <summary>Most tokens of a step.</summary>
    /// <value>Default 2048.</value>
    [Range(1, 65_536)]
    public int MaxTokensPerStep { get; set; } = 2048;

    /// <summary>Most rows of logits of a step.</summary>
    /// <value>Default 128.</value>
    [Range(1, 65_536)]
    public int MaxLogitRows { get; set; } = 128;

    /// <summary>Most sequences that run at once.</summary>
    /// <value>Default 64.</value>
    [Range(1, 4096)]
    public int MaxSequences { get; set; } = 64;
}

[OptionsValidator]
internal sealed partial class PartitionOptionsValidator : IValidateOptions<PartitionOptions>;

namespace Granary.Engine;

/// <summary>How much work an engine takes on at a time.</summary>
public sealed record EngineOptions
{
    /// <summary>Most tokens one step may carry, prompt and decode tokens together.</summary>
    /// <value>Default 2048: large enough to use the device well, small enough that decoding sequences wait little for a prompt.</value>
    public int MaxTokensPerStep { get; init; } = 2048;

    /// <summary>Most sequences that hold KV blocks at a time; never more of them than <see cref="MaxTokensPerStep"/>, so that each advances.</summary>
    /// <value>Default 64: beyond it a step grows longer about as fast as it grows wider.</value>
    public int MaxRunningSequences { get; init; } = 64;

    /// <summary>Most submitted sequences that have not run yet; one more is refused.</summary>
    /// <value>Default 256: some waves of running sequences; a longer wait is better spent on another replica.</value>
    public int MaxQueuedSequences { get; init; } = 256;

    /// <summary>Most tokens of one sequence that its reader has not taken; at this number the sequence pauses until half are taken.</summary>
    /// <value>Default 1024: seconds of generation, tens of kilobytes.</value>
    public int MaxBufferedTokens { get; init; } = 1024;

    /// <summary>Whether sequences share the KV blocks of equal prefixes.</summary>
    /// <value>Default true: it costs a hash per block and changes no result.</value>
    public bool PrefixCaching { get; init; } = true;

    /// <summary>Most of the KV blocks that pins hold, in percent.</summary>
    /// <value>Default 50: pins are given up before anybody waits for blocks, but what they hold is no cache for others.</value>
    public int MaxPinnedPercent { get; init; } = 50;

    /// <summary>Memory of the host for copies of cached blocks that the device has no more room for, in bytes.</summary>
    /// <value>Default 0: none. Less than a block is none, and an executor whose blocks cannot be copied has none.</value>
    public long HostCacheBytes { get; init; }

    /// <exception cref="ArgumentOutOfRangeException">A value is outside its bounds.</exception>
    public void Validate()
    {
        Check(MaxTokensPerStep, 1, 65_536, nameof(MaxTokensPerStep));
        Check(MaxRunningSequences, 1, 4_096, nameof(MaxRunningSequences));
        Check(MaxQueuedSequences, 1, 65_536, nameof(MaxQueuedSequences));
        Check(MaxBufferedTokens, 1, 1_048_576, nameof(MaxBufferedTokens));
        Check(MaxPinnedPercent, 0, 100, nameof(MaxPinnedPercent));
        Check(HostCacheBytes, 0, 1L << 46, nameof(HostCacheBytes));
    }

    private static void Check(long value, long least, long most, string name)
    {
        if (value < least || value > most)
            throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; it must be between {least} and {most}.");
    }
}

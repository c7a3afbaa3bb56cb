namespace Granary.Silo.Hosting;

/// <summary>How long sessions live, and how large they get.</summary>
public sealed class SessionsOptions
{
    /// <summary>Seconds for which a session lives after it was used last.</summary>
    public int IdleSeconds { get; set; } = 3600;

    /// <summary>Most tokens of a history; a turn beyond them is answered and not taken over.</summary>
    public int MaxHistoryTokens { get; set; } = 1 << 18;

    /// <summary>Seconds for which the KV of a history is kept where it was computed, after each turn; 0 keeps nothing beyond what a cache does by itself.</summary>
    public int PinSeconds { get; set; } = 60;

    /// <summary>Bytes of this silo's memory for all active sessions; those that were used longest ago leave it beyond them.</summary>
    public long MemoryBytes { get; set; } = 64 << 20;
}

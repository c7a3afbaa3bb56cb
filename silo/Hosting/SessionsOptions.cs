namespace Granary.Silo.Hosting;

/// <summary>How long sessions live, and how large they get.</summary>
public sealed class SessionsOptions
{
    /// <summary>Seconds for which a session lives after it was used last.</summary>
    public int IdleSeconds { get; set; } = 3600;

    /// <summary>Most tokens of a history; a turn beyond them is answered and not taken over.</summary>
    public int MaxHistoryTokens { get; set; } = 1 << 18;

    /// <summary>Bytes of this silo's memory for all active sessions; those that were used longest ago leave it beyond them.</summary>
    public long MemoryBytes { get; set; } = 64 << 20;
}

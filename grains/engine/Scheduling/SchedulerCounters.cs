namespace Granary.Engine.Scheduling;

/// <summary>What a scheduler has done since it began.</summary>
internal sealed class SchedulerCounters
{
    public long Preemptions { get; set; }

    public long PromptTokens { get; set; }

    public long GenerationTokens { get; set; }

    public long PrefixCacheQueries { get; set; }

    public long PrefixCacheHits { get; set; }
}

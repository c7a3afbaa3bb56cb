using Granary.Engine.Kv.Tiers;
using Granary.Engine.Scheduling;

namespace Granary.Engine;

/// <summary>The values of an <see cref="EngineLoad"/>, so that publishing one after each step allocates nothing.</summary>
internal readonly record struct LoadValues
{
    private int Running { get; init; }

    private int Waiting { get; init; }

    private long PendingPrefillTokens { get; init; }

    private int KvBlocksUsed { get; init; }

    private int KvBlocksPinned { get; init; }

    private long Steps { get; init; }

    private long Preemptions { get; init; }

    private long PromptTokens { get; init; }

    private long GenerationTokens { get; init; }

    private long PrefixCacheQueries { get; init; }

    private long PrefixCacheHits { get; init; }

    private long KvTierHits { get; init; }

    private long KvTierBytes { get; init; }

    private long KvTierCorrupt { get; init; }

    private long KvHostBytes { get; init; }

    private long KvHostBytesTouched { get; init; }

    private double SecondsPerPrefillToken { get; init; }

    private double SecondsPerDecodeStep { get; init; }

    private double SecondsPerPrefillContext { get; init; }

    private double PendingPrefillSeconds { get; init; }

    private double LongestStepSeconds { get; init; }

    /// <summary>When the oldest step in flight began; null where none is.</summary>
    public long? OldestStepBegan { get; private init; }

    public static LoadValues Of(Scheduler scheduler, TierCounters tiers, StepTimes times, long steps, long? oldestStepBegan, double expectedSeconds) => new()
    {
        Running = scheduler.RunningCount,
        Waiting = scheduler.WaitingCount,
        PendingPrefillTokens = scheduler.PendingPromptTokens,
        KvBlocksUsed = scheduler.Cache.UsedCount - scheduler.Cache.PinnedOnlyCount,
        KvBlocksPinned = scheduler.Cache.PinnedCount,
        Steps = steps,
        Preemptions = scheduler.Counters.Preemptions,
        PromptTokens = scheduler.Counters.PromptTokens,
        GenerationTokens = scheduler.Counters.GenerationTokens,
        PrefixCacheQueries = scheduler.Counters.PrefixCacheQueries,
        PrefixCacheHits = scheduler.Counters.PrefixCacheHits,
        KvTierHits = tiers.Hits,
        KvTierBytes = tiers.Bytes,
        KvTierCorrupt = tiers.Corrupt,
        KvHostBytes = tiers.HostBytes,
        KvHostBytesTouched = tiers.HostBytesTouched,
        SecondsPerPrefillToken = times.SecondsPerPrefillToken,
        SecondsPerDecodeStep = times.SecondsPerDecodeStep,
        SecondsPerPrefillContext = times.SecondsPerPrefillContext,
        PendingPrefillSeconds = scheduler.PendingPromptTokens * times.SecondsPerPrefillToken
            + scheduler.PendingPromptContext * times.SecondsPerPrefillContext,
        LongestStepSeconds = Math.Max(times.LongestStepSeconds, expectedSeconds),
        OldestStepBegan = oldestStepBegan,
    };

    public EngineLoad ToLoad(int blocks, TimeSpan stepAge) => new()
    {
        RunningSequences = Running,
        WaitingSequences = Waiting,
        PendingPrefillTokens = PendingPrefillTokens,
        KvBlocksUsed = KvBlocksUsed,
        KvBlocksTotal = blocks,
        KvBlocksPinned = KvBlocksPinned,
        Steps = Steps,
        Preemptions = Preemptions,
        PromptTokens = PromptTokens,
        GenerationTokens = GenerationTokens,
        PrefixCacheQueries = PrefixCacheQueries,
        PrefixCacheHits = PrefixCacheHits,
        KvTierHits = KvTierHits,
        KvTierBytes = KvTierBytes,
        KvTierCorrupt = KvTierCorrupt,
        KvHostBytes = KvHostBytes,
        KvHostBytesTouched = KvHostBytesTouched,
        SecondsPerPrefillToken = SecondsPerPrefillToken,
        SecondsPerDecodeStep = SecondsPerDecodeStep,
        SecondsPerPrefillContext = SecondsPerPrefillContext,
        PendingPrefillSeconds = PendingPrefillSeconds,
        LongestStepSeconds = LongestStepSeconds,
        StepAgeSeconds = stepAge.TotalSeconds,
    };
}

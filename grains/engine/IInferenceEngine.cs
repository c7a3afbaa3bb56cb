using Granary.Engine.Kv;
using Granary.Engine.Prompts;

namespace Granary.Engine;

/// <summary>One life of one replica: admits sequences, batches them into steps on its own thread, and hands out their tokens.</summary>
/// <remarks>All members may be called from any thread; none blocks. What an engine thread owns is never touched by callers.</remarks>
public interface IInferenceEngine : IAsyncDisposable
{
    EngineInfo Info { get; }

    /// <summary>A snapshot of load and speed, as of the last step.</summary>
    EngineLoad Load { get; }

    /// <summary>Completes when the engine's thread has ended: after disposal, or faulted by the error that ended it.</summary>
    Task Completion { get; }

    /// <summary>Queues a sequence to generate, or a prompt to read, or says why not; never waits.</summary>
    /// <returns>The sequence's tokens; null with <paramref name="refusal"/> set when it was not admitted.</returns>
    ISequenceHandle? TrySubmit(EngineRequest request, out Refusal? refusal);

    /// <summary>What has changed in the KV cache since event <paramref name="from"/>, which is the last batch's <see cref="KvEventBatch.Next"/>.</summary>
    /// <returns>Nothing when nothing has; a snapshot when <paramref name="from"/> is 0, or lies too far back.</returns>
    KvEventBatch ReadKvEvents(long from);

    /// <summary>Keeps what is cached of a prefix until the lease ends; it replaces what this owner had pinned, and so renews it.</summary>
    /// <remarks>
    /// Best effort: pins hold a bounded part of the blocks and are given up, least recently renewed first, before a sequence would have to wait for blocks or be
    /// preempted. Pinned blocks that no sequence uses count as free in <see cref="EngineLoad.KvBlocksUsed"/>.
    /// </remarks>
    /// <param name="owner">Who keeps it, such as a session.</param>
    /// <param name="tokenIds">Not written by anyone from now on.</param>
    /// <param name="lease">Above 0, at most a day.</param>
    /// <returns>Tokens that are pinned now; 0 from an engine that has ended.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The lease is out of bounds.</exception>
    Task<int> PinAsync(string owner, int[] tokenIds, string? salt, TimeSpan lease);

    /// <summary>Lets go of what an owner has pinned, if anything.</summary>
    void Unpin(string owner);
}

/// <summary>Sizes and bounds of an engine.</summary>
/// <param name="HiddenSize">Components of an embedding.</param>
/// <param name="ContextLength">Most tokens of a sequence, prompt and generated: the smaller of what the model and the KV blocks hold.</param>
public sealed record EngineInfo(
    int VocabularySize, int HiddenSize, int ContextLength, int KvBlockCount, int KvBlockTokens, int MaxQueuedSequences);

/// <summary>An admitted sequence, as its caller sees it; read by one reader at a time.</summary>
/// <remarks>Disposing it cancels what still runs and completes when its blocks are free: at the end of the step it is in.</remarks>
public interface ISequenceHandle : IAsyncDisposable
{
    /// <summary>Takes what is there without waiting.</summary>
    bool TryRead(out GeneratedToken token);

    /// <summary>Waits until something is there; false after the last token (the one with a finish reason) was read.</summary>
    /// <exception cref="Execution.StepFailedException">The engine failed or was stopped while the sequence ran.</exception>
    ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default);

    /// <summary>For who reads many sequences: instead of waiting for this one, be told whenever there is something to read that was not.</summary>
    /// <param name="ready">Called at once, then by the engine's thread, which it must not keep; now and then without cause.</param>
    void Listen(Action ready);

    /// <summary>Why the engine gave the sequence up; what it wrote before can be read still. Null while it runs, and where it ended by itself.</summary>
    Execution.StepFailedException? Failure { get; }

    /// <summary>With <see cref="Failure"/>: the sequence was in the step that failed, or in flight when the device was lost, and may be the cause.</summary>
    bool WasInFailedStep { get; }
}

/// <summary>One generated token. The last of a sequence has a finish reason, and no token when it ended without one.</summary>
/// <param name="Index">Place among the generated tokens, replayed ones counted; without a token, how many there are.</param>
/// <param name="TokenId">-1 where the sequence ended without a token.</param>
/// <param name="CachedPromptTokens">Prompt tokens found in the prefix cache when the sequence first ran.</param>
/// <param name="Prompt">What was asked of the prompt; on the first token, or on the end of a sequence that generates none.</param>
public readonly record struct GeneratedToken(
    int Index, int TokenId, int CachedPromptTokens, SequenceEnd? End = null, LogprobRow? Logprobs = null, PromptOutput? Prompt = null);

/// <summary>Log-probabilities of one position. Of generated tokens: after bias and penalties, before temperature and filters.</summary>
public sealed record LogprobRow(float Chosen, int[] TopTokenIds, float[] Top);

/// <summary>Why a sequence ended.</summary>
public enum SequenceEnd
{
    /// <summary>A stop id was generated; it is the last token.</summary>
    Stop,

    /// <summary>Token limit or context length reached; also of a prompt that was only read.</summary>
    Length,

    /// <summary>Its caller left.</summary>
    Cancelled,

    /// <summary>Its deadline passed.</summary>
    Deadline,
}

/// <summary>Why a sequence was not admitted.</summary>
/// <param name="Reason">Whether it is worth trying elsewhere or later.</param>
/// <param name="Parameter">The OpenAI name of the field at fault, where one is.</param>
/// <param name="Message">Names the value and the bound.</param>
public sealed record Refusal(RefusalReason Reason, string? Parameter, string Message);

public enum RefusalReason
{
    /// <summary>The admission queue is full.</summary>
    Saturated,

    /// <summary>The request cannot run on this engine at any time.</summary>
    Invalid,

    /// <summary>The engine has ended.</summary>
    Stopped,
}

/// <summary>What the engine is doing and how fast its steps have been.</summary>
public sealed record EngineLoad
{
    public static EngineLoad Idle { get; } = new();

    public int RunningSequences { get; init; }

    public int WaitingSequences { get; init; }

    /// <summary>Prompt tokens not yet computed, of running and waiting sequences; without what a waiting one will find in the cache.</summary>
    public long PendingPrefillTokens { get; init; }

    /// <summary>Blocks referenced by sequences; those that only the prefix cache or a pin holds count as free.</summary>
    public int KvBlocksUsed { get; init; }

    public int KvBlocksTotal { get; init; }

    /// <summary>Blocks that are pinned, used by sequences or not.</summary>
    public int KvBlocksPinned { get; init; }

    /// <summary>Steps that have ended: progress.</summary>
    public long Steps { get; init; }

    public long Preemptions { get; init; }

    /// <summary>Prompt tokens, without replayed ones, of all sequences that began to run.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Tokens sampled.</summary>
    public long GenerationTokens { get; init; }

    /// <summary>Prompt tokens looked up in the prefix cache.</summary>
    public long PrefixCacheQueries { get; init; }

    /// <summary>Prompt tokens found there.</summary>
    public long PrefixCacheHits { get; init; }

    /// <summary>Prompt tokens of blocks copied back from slower memory; they count among <see cref="PrefixCacheHits"/> too.</summary>
    public long KvTierHits { get; init; }

    /// <summary>Bytes copied between the tiers of the KV cache, either way.</summary>
    public long KvTierBytes { get; init; }

    /// <summary>Copies that were not what had been written; they were dropped and computed again.</summary>
    public long KvTierCorrupt { get; init; }

    /// <summary>Memory of the host that copies of cached blocks may take; 0 without them.</summary>
    public long KvHostBytes { get; init; }

    /// <summary>Of those, touched so far.</summary>
    public long KvHostBytesTouched { get; init; }

    /// <summary>Smoothed over recent steps; 0 until one with more than a few prompt tokens was measured.</summary>
    public double SecondsPerPrefillToken { get; init; }

    /// <summary>Of steps without prompt tokens, smoothed over recent ones; 0 until one was measured.</summary>
    public double SecondsPerDecodeStep { get; init; }

    /// <summary>What each token before a prefill token adds to <see cref="SecondsPerPrefillToken"/>; 0 until measured.</summary>
    public double SecondsPerPrefillContext { get; init; }

    /// <summary>Seconds that <see cref="PendingPrefillTokens"/> will take at these speeds, each at its own context; 0 until they are measured.</summary>
    public double PendingPrefillSeconds { get; init; }

    /// <summary>How long a step may well take: the longest of the recent ones, from its beginning to its end, or what those in flight should take by their tokens; 0 before the first.</summary>
    public double LongestStepSeconds { get; init; }

    /// <summary>How long the oldest step in flight has been running when this was read; 0 where none is.</summary>
    public double StepAgeSeconds { get; init; }
}

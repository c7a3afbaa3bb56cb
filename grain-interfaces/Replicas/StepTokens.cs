using Orleans;

namespace Granary.GrainInterfaces.Replicas;

/// <summary>What a replica has made for one reader since the reader took the last: tokens of any of its sequences, those of one in order and side by side.</summary>
/// <remarks>
/// Entry i is token <see cref="TokenIds"/>[i], the <see cref="Indexes"/>[i]-th that the sequence <see cref="Slots"/>[i] generated. What few entries have
/// stands apart. Immutable by contract: a message within a silo is not copied.
/// </remarks>
[GenerateSerializer, Immutable, Alias("granary.step-tokens")]
public sealed record StepTokens
{
    /// <summary>Most entries of a message; what is over comes with the next.</summary>
    public const int MaxEntries = 4096;

    /// <summary>The replica's life that made them.</summary>
    [Id(0)]
    public required long Epoch { get; init; }

    [Id(1)]
    public long[] Slots { get; init; } = [];

    /// <summary>Places among the generated tokens, from 0; of an entry without a token, how many were generated.</summary>
    [Id(2)]
    public int[] Indexes { get; init; } = [];

    /// <summary>-1 on an entry that carries only the end.</summary>
    [Id(3)]
    public int[] TokenIds { get; init; } = [];

    /// <summary>In the order of their entries, at most one for each.</summary>
    [Id(4)]
    public TokenDetail[] Details { get; init; } = [];

    /// <summary>The life is over and nothing follows: the reader is forgotten.</summary>
    [Id(5)]
    public bool IsLast { get; init; }

    /// <summary>Steps that this life has ended so far: progress, and so the only health that counts.</summary>
    [Id(6)]
    public long Steps { get; init; }

    /// <summary>How long a step may take before it is suspect: the longest of the recent ones, or what those in flight should take by their tokens; 0 before the first.</summary>
    [Id(7)]
    public double StepSeconds { get; init; }

    /// <summary>The replica takes nothing new and will end: who has somewhere else to go on had better go. Its sequences run until then.</summary>
    [Id(8)]
    public bool IsDraining { get; init; }
}

/// <summary>What few tokens have: the first of a sequence, the last, and all where log-probabilities were asked for.</summary>
[GenerateSerializer, Immutable, Alias("granary.token-detail")]
public readonly record struct TokenDetail
{
    /// <summary>Place in the message.</summary>
    [Id(0)]
    public required int Entry { get; init; }

    /// <summary>Prompt tokens whose KV was found in the cache; the same wherever a sequence has a detail.</summary>
    [Id(1)]
    public int CachedPromptTokens { get; init; }

    /// <summary>Set on a sequence's last entry.</summary>
    [Id(2)]
    public FinishReason? FinishReason { get; init; }

    [Id(3)]
    public TokenLogprobs? Logprobs { get; init; }

    /// <summary>As <see cref="TokenChunk.PromptLogprobs"/>.</summary>
    [Id(4)]
    public TokenLogprobs[]? PromptLogprobs { get; init; }

    /// <summary>Why the engine gave the sequence up; its last entry, without a token.</summary>
    [Id(5)]
    public string? Failure { get; init; }

    /// <summary>With <see cref="Failure"/>: the sequence had a part in the step that failed, and may be its cause.</summary>
    [Id(6)]
    public bool WasInFailedStep { get; init; }
}

/// <summary>How far a sequence may go on: its reader takes tokens below <paramref name="Limit"/>. Limits only grow; an older one is ignored.</summary>
[GenerateSerializer, Immutable, Alias("granary.token-credit")]
public readonly record struct TokenCredit([property: Id(0)] long Slot, [property: Id(1)] int Limit)
{
    /// <summary>Tokens that a reader takes of a new sequence, and that it keeps at most of any. More wait at the replica, whose engine then pauses the sequence.</summary>
    /// <value>256: a reader that keeps up tells its credit every 128 tokens, together with its next take; kilobytes for each sequence.</value>
    public const int Window = 256;
}

/// <summary>How replica and reader know that the other is there.</summary>
public static class ReaderLease
{
    /// <summary>Longest wait of a take of a reader without sequences; then it is answered without tokens.</summary>
    public static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(4);

    /// <summary>The same of a reader that has sequences: it sees the replica's steps advance, or not.</summary>
    /// <value>200 ms: a replica that is lost in silence is missed well within a second; five empty messages a second cost nothing.</value>
    public static readonly TimeSpan BusyHeartbeat = TimeSpan.FromMilliseconds(200);

    /// <summary>A reader that takes nothing for so long is forgotten, and its sequences are cancelled.</summary>
    public static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);
}

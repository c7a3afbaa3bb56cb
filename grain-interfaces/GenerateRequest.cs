using Orleans;

namespace Granary.GrainInterfaces;

/// <summary>One choice to generate: a tokenized prompt and how to continue it.</summary>
/// <remarks>
/// Immutable by contract: arrays are never written after the request is sent, so that a call within a silo copies nothing.
/// Together with the ids delivered so far it is all that a continuation on another replica needs.
/// </remarks>
[GenerateSerializer, Immutable, Alias("granary.generate-request")]
public sealed record GenerateRequest
{
    /// <summary>The caller's id for this choice, unique among running requests; it goes into logs and headers.</summary>
    [Id(0)]
    public required string RequestId { get; init; }

    /// <summary>The served model's name.</summary>
    [Id(1)]
    public required string Model { get; init; }

    /// <summary>The whole prompt as token ids, at least one.</summary>
    [Id(2)]
    public required int[] PromptTokenIds { get; init; }

    /// <summary>How tokens are chosen, and when to stop.</summary>
    [Id(3)]
    public required SamplingOptions Sampling { get; init; }

    /// <summary>When the caller stops waiting; a sequence past it is ended and its blocks are freed.</summary>
    [Id(4)]
    public DateTimeOffset? Deadline { get; init; }

    /// <summary>Who pays; null for the anonymous tenant.</summary>
    [Id(5)]
    public string? Tenant { get; init; }

    /// <summary>Requests share cached prefixes only with requests of the same salt.</summary>
    [Id(6)]
    public string? CacheSalt { get; init; }

    /// <summary>Which of a request's choices this is; part of the sampler's randomness.</summary>
    [Id(7)]
    public int Choice { get; init; }

    /// <summary>Names the choices of one prompt that run side by side; they go to one replica and share the prompt's KV. Null for a choice of its own.</summary>
    [Id(8)]
    public string? Group { get; init; }

    /// <summary>How many of the likeliest tokens to report with each token of the prompt; null reports none of the prompt at all, 0 only the prompt's own tokens.</summary>
    /// <remarks>The whole prompt is computed for it: nothing is taken from the cache. It is what lets <see cref="SamplingOptions.MaxTokens"/> be 0.</remarks>
    [Id(9)]
    public int? PromptLogprobs { get; init; }

    /// <summary>Ids at the end of <see cref="PromptTokenIds"/> that this choice generated in an earlier life: it goes on behind them as if nothing had happened.</summary>
    /// <remarks>They count as output for penalties, positions of draws, indices and limits. 0 for a request that begins.</remarks>
    [Id(10)]
    public int ReplayedTokens { get; init; }

    /// <summary>A replica failed in a step of this choice: it is computed in steps of its own until it has passed that place, so that nobody else can be lost with it.</summary>
    [Id(11)]
    public bool IsSuspect { get; init; }

    /// <summary>A stream that this choice is of was begun before, and its gateway is gone: it waits for a replica as one that has lost its own, and hears no refusal.</summary>
    [Id(12)]
    public bool WasTaken { get; init; }
}

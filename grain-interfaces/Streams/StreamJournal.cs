using Orleans;

namespace Granary.GrainInterfaces.Streams;

/// <summary>What a stream's request was, and what was drawn for it: from this and the delivered ids any gateway makes the rest of the same stream.</summary>
[GenerateSerializer, Immutable, Alias("granary.stream-head")]
public sealed record StreamHead
{
    /// <summary>The path that was asked.</summary>
    [Id(0)]
    public required string Endpoint { get; init; }

    /// <summary>The request's JSON as it came, UTF-8.</summary>
    [Id(1)]
    public required byte[] Body { get; init; }

    /// <summary>A hash of the key that asked and the stream's id; empty where keys are not wanted. Nobody else may go on.</summary>
    [Id(2)]
    public required byte[] Owner { get; init; }

    [Id(3)]
    public required DateTimeOffset Created { get; init; }

    /// <summary>The request's, whoever goes on with it.</summary>
    [Id(4)]
    public required DateTimeOffset Deadline { get; init; }

    /// <summary>Given or drawn.</summary>
    [Id(5)]
    public required ulong Seed { get; init; }

    /// <summary>Of the model that answers; another one would not go on with this answer.</summary>
    [Id(6)]
    public required string Fingerprint { get; init; }

    /// <summary>The id of the message that the answer is, where the endpoint gives it one.</summary>
    [Id(7)]
    public string? MessageId { get; init; }

    /// <summary>The session that it is a turn of, by the body or by a header; null for none.</summary>
    [Id(8)]
    public string? SessionId { get; init; }
}

/// <summary>Tokens of one choice, in order, as they were read from its replica.</summary>
[GenerateSerializer, Immutable, Alias("granary.stream-tokens")]
public sealed record StreamTokens
{
    /// <summary>Roughly what a token takes; log-probabilities come on top.</summary>
    public const int BytesOfToken = sizeof(int);

    private const int BytesOfLogprobs = 64;

    [Id(0)]
    public required int Choice { get; init; }

    /// <summary>Place of the first among the choice's tokens.</summary>
    [Id(1)]
    public required int From { get; init; }

    [Id(2)]
    public required int[] TokenIds { get; init; }

    /// <summary>One for each token where log-probabilities were asked for, else null.</summary>
    [Id(3)]
    public TokenLogprobs?[]? Logprobs { get; init; }

    /// <summary>Prompt tokens that the choice's first replica found in its cache: usage tells them, whoever goes on.</summary>
    [Id(4)]
    public int CachedPromptTokens { get; init; }

    /// <summary>How the sequence ended; null where it had not.</summary>
    [Id(5)]
    public FinishReason? FinishReason { get; init; }

    /// <summary>The end came without a token of its own.</summary>
    [Id(6)]
    public bool EndsApart { get; init; }

    /// <summary>Place behind the last token.</summary>
    public int End => From + TokenIds.Length;

    /// <summary>Roughly what it takes in memory.</summary>
    public long Bytes => (TokenIds.Length * (long)BytesOfToken) + (Logprobs?.Sum(BytesOf) ?? 0);

    /// <summary>Roughly what one token's log-probabilities take.</summary>
    public static long BytesOf(TokenLogprobs? logprobs) => logprobs is null ? 0 : BytesOfLogprobs + (logprobs.Top.Length * (long)(sizeof(int) + sizeof(float)));
}

/// <summary>What a gateway read since its last batch.</summary>
/// <param name="Takeover">Which gateway it is: 1 for the stream's first, one more for each that took it over.</param>
/// <param name="Head">With the first batch, and where everything is told again.</param>
/// <param name="Choices">At most one entry for each choice; none is a sign of life.</param>
[GenerateSerializer, Immutable, Alias("granary.stream-batch")]
public sealed record StreamBatch([property: Id(0)] int Takeover, [property: Id(1)] StreamHead? Head, [property: Id(2)] StreamTokens[] Choices);

/// <summary>All that is kept of a stream.</summary>
/// <param name="Takeover">What the gateway that asked says in its batches.</param>
/// <param name="Choices">Those that have tokens or an end, each from its beginning.</param>
[GenerateSerializer, Immutable, Alias("granary.stream-journal")]
public sealed record StreamJournal([property: Id(0)] int Takeover, [property: Id(1)] StreamHead Head, [property: Id(2)] StreamTokens[] Choices);

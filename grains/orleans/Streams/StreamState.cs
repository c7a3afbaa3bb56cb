using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;
using Orleans;

namespace Granary.Grains.Streams;

/// <summary>What a stream began with. Written once: its request may be long.</summary>
[GenerateSerializer, Alias("granary.stream-head-state")]
internal sealed class StreamHeadState : IExpiringState
{
    /// <summary>Null before the first batch and after the end.</summary>
    [Id(0)]
    public StreamHead? Head { get; set; }

    /// <summary>When the stream cannot be gone on with any more, however long it takes.</summary>
    [Id(1)]
    public DateTimeOffset ExpiresAt { get; set; }
}

/// <summary>What is kept of one stream's tokens, and written where it is stored.</summary>
[GenerateSerializer, Alias("granary.stream-state")]
internal sealed class StreamState : IExpiringState
{
    /// <summary>The gateway that has the stream.</summary>
    [Id(0)]
    public int Takeover { get; set; }

    [Id(1)]
    public DateTimeOffset ExpiresAt { get; set; }

    [Id(2)]
    public Dictionary<int, StreamChoice> Choices { get; set; } = [];

    /// <summary>With those of the head.</summary>
    [Id(3)]
    public long Bytes { get; set; }

    public void Begin(StreamHead head, int takeover) => (Takeover, Choices, Bytes) = (takeover, [], head.Body.Length);

    /// <summary>Whether each part goes on from what is kept.</summary>
    public bool Continues(StreamTokens[] parts) => Array.TrueForAll(parts, part => part.From <= (Choices.GetValueOrDefault(part.Choice)?.TokenIds.Count ?? 0));

    public void Append(StreamTokens part)
    {
        if (!Choices.TryGetValue(part.Choice, out var choice)) Choices[part.Choice] = choice = new StreamChoice { CachedPromptTokens = part.CachedPromptTokens };
        Bytes += choice.Append(part);
    }

    public StreamJournal ToJournal(StreamHead head) => new(Takeover, head, [.. Choices.OrderBy(choice => choice.Key).Select(choice => choice.Value.ToTokens(choice.Key))]);
}

/// <summary>One choice's tokens.</summary>
[GenerateSerializer, Alias("granary.stream-choice")]
internal sealed class StreamChoice
{
    [Id(0)]
    public List<int> TokenIds { get; set; } = [];

    /// <summary>Null where none were asked for.</summary>
    [Id(1)]
    public List<TokenLogprobs?>? Logprobs { get; set; }

    [Id(2)]
    public int CachedPromptTokens { get; set; }

    [Id(3)]
    public FinishReason? FinishReason { get; set; }

    [Id(4)]
    public bool EndsApart { get; set; }

    /// <returns>Bytes that it added.</returns>
    public long Append(StreamTokens part)
    {
        var known = Math.Min(TokenIds.Count - part.From, part.TokenIds.Length);
        var added = known == 0 ? part : part with { From = part.From + known, TokenIds = part.TokenIds[known..], Logprobs = part.Logprobs?[known..] };
        TokenIds.AddRange(added.TokenIds);
        if (added.Logprobs is { } logprobs) (Logprobs ??= []).AddRange(logprobs);
        if (part.FinishReason is { } reason) (FinishReason, EndsApart) = (reason, part.EndsApart);
        return added.Bytes;
    }

    public StreamTokens ToTokens(int choice) => new()
    {
        Choice = choice,
        From = 0,
        TokenIds = [.. TokenIds],
        Logprobs = Logprobs?.ToArray(),
        CachedPromptTokens = CachedPromptTokens,
        FinishReason = FinishReason,
        EndsApart = EndsApart,
    };
}

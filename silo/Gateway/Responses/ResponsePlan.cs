using System.Text.Json.Nodes;

namespace Granary.Silo.Gateway.Responses;

/// <summary>A validated request of the Responses API: what to generate, and what its answer repeats.</summary>
internal sealed record ResponsePlan
{
    /// <summary>The one choice to generate; its id is the response's.</summary>
    public required GenerationPlan Generation { get; init; }

    /// <summary>The id of the message that the answer is.</summary>
    public string MessageId { get; init; } = ResponseIds.New("msg");

    /// <summary>All items that it answers, earlier turns first: a JSON list, UTF-8.</summary>
    public required byte[] Input { get; init; }

    /// <summary>Key of the session of the response before; null where there is none.</summary>
    public string? PreviousSession { get; init; }

    /// <summary>Whether the answer is kept.</summary>
    public required bool Store { get; init; }

    public required string? Instructions { get; init; }

    public required string? PreviousResponseId { get; init; }

    public required int? MaxOutputTokens { get; init; }

    public required int? MaxToolCalls { get; init; }

    public required int? TopLogprobs { get; init; }

    /// <summary>Pairs of strings, the caller's own.</summary>
    public required JsonObject Metadata { get; init; }

    /// <summary>Tools in the API's form.</summary>
    public required JsonArray Tools { get; init; }

    /// <summary><c>auto</c> or <c>none</c>.</summary>
    public required string ToolChoice { get; init; }

    public required bool ParallelToolCalls { get; init; }

    /// <summary><c>auto</c> or <c>disabled</c>.</summary>
    public required string Truncation { get; init; }

    public required string? User { get; init; }

    public required string? SafetyIdentifier { get; init; }

    public required string? PromptCacheKey { get; init; }
}

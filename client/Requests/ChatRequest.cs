using System.Text.Json.Nodes;

namespace Granary.Client;

/// <summary>A conversation to continue.</summary>
public sealed record ChatRequest
{
    /// <summary>The served model's name; null where the cluster serves one.</summary>
    public string? Model { get; init; }

    /// <summary>At least one.</summary>
    public required IReadOnlyList<ChatTurn> Messages { get; init; }

    public GenerationSettings Settings { get; init; } = new();

    /// <summary>Tool definitions for the chat template, in OpenAI's form.</summary>
    public JsonArray? Tools { get; init; }

    /// <summary>Documents for the chat template.</summary>
    public JsonArray? Documents { get; init; }

    /// <summary>Further variables for the chat template.</summary>
    public JsonObject? TemplateVariables { get; init; }
}

/// <summary>One message of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>.</param>
public sealed record ChatTurn(string Role, string Content)
{
    /// <summary>Who speaks, where several do in one role.</summary>
    public string? Name { get; init; }

    /// <summary>Of a tool's message: the call it answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>Of an assistant's message: the calls it made, in OpenAI's form.</summary>
    public JsonArray? ToolCalls { get; init; }
}

/// <summary>Text or token ids to continue.</summary>
public sealed record CompletionRequest
{
    /// <summary>The served model's name; null where the cluster serves one.</summary>
    public string? Model { get; init; }

    /// <summary>The text; or <see cref="PromptTokenIds"/>, one of both.</summary>
    public string? Prompt { get; init; }

    public IReadOnlyList<int>? PromptTokenIds { get; init; }

    public GenerationSettings Settings { get; init; } = new();
}

/// <summary>Texts to embed.</summary>
public sealed record EmbeddingRequest
{
    /// <summary>The served model's name; null where the cluster serves one.</summary>
    public string? Model { get; init; }

    /// <summary>At least one.</summary>
    public required IReadOnlyList<string> Inputs { get; init; }

    /// <summary>Components to keep of each vector, normalised after the cut; null keeps all.</summary>
    public int? Dimensions { get; init; }

    /// <summary>The longest the call may take; null takes the client's.</summary>
    public TimeSpan? Timeout { get; init; }
}

/// <param name="Model">The model that answered.</param>
/// <param name="Vectors">One for each input, of length 1.</param>
public sealed record EmbeddingResponse(string Model, IReadOnlyList<ReadOnlyMemory<float>> Vectors, int PromptTokens);

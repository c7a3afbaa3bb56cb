using Granary.Client;
using Granary.GrainInterfaces;

namespace Granary.Silo.Gateway;

/// <summary>A validated request: what to generate, and how the client wants to read it.</summary>
internal sealed record GenerationPlan
{
    public required TextModel Model { get; init; }

    /// <summary>The response's id; with a choice's index it names a sequence.</summary>
    public required string Id { get; init; }

    /// <summary><c>chat</c> or <c>text_completion</c>, as OpenTelemetry calls it.</summary>
    public required string Operation { get; init; }

    /// <summary>Token ids of each prompt.</summary>
    public required int[][] Prompts { get; init; }

    /// <summary>Choices of each prompt.</summary>
    public required int ChoicesPerPrompt { get; init; }

    /// <summary>What each prompt's choices share; the prompt's room in the context bounds its tokens.</summary>
    public required SamplingOptions[] Sampling { get; init; }

    public required string[] Stops { get; init; }

    public bool Stream { get; init; }

    /// <summary>A last frame of the stream tells the usage.</summary>
    public bool IncludeUsage { get; init; }

    public string? CacheSalt { get; init; }

    public required DateTimeOffset Created { get; init; }

    /// <summary>Timestamp of the request's arrival, to measure from.</summary>
    public required long Arrived { get; init; }

    /// <summary>When the whole request is ended.</summary>
    public required DateTimeOffset Deadline { get; init; }

    public int ChoiceCount => Prompts.Length * ChoicesPerPrompt;

    /// <summary>Prompt tokens of the whole request, each prompt once.</summary>
    public int PromptTokens => Prompts.Sum(prompt => prompt.Length);

    public GenerateRequest RequestOf(int choice) => new()
    {
        RequestId = ChoiceCount == 1 ? Id : $"{Id}/{choice}",
        Model = Model.Name,
        PromptTokenIds = Prompts[choice / ChoicesPerPrompt],
        Sampling = Sampling[choice / ChoicesPerPrompt],
        Deadline = Deadline,
        CacheSalt = CacheSalt,
        Choice = choice % ChoicesPerPrompt,
    };
}

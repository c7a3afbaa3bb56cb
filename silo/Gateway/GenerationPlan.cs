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

    /// <summary>Choices of each prompt that are generated.</summary>
    public required int ChoicesPerPrompt { get; init; }

    /// <summary>Choices of each prompt that are sent, the likeliest first; null sends all as they are.</summary>
    public int? BestOfPrompt { get; init; }

    /// <summary>What each prompt's choices share; the prompt's room in the context bounds its tokens.</summary>
    public required SamplingOptions[] Sampling { get; init; }

    public required string[] Stops { get; init; }

    /// <summary>The stop string is part of the text.</summary>
    public bool IncludeStop { get; init; }

    public bool SkipSpecialTokens { get; init; } = true;

    /// <summary>Text of each prompt, which the answer begins with; null where it does not.</summary>
    public string[]? Echo { get; init; }

    /// <summary>Log-probabilities are generated to choose by, and not sent.</summary>
    public bool HidesLogprobs { get; init; }

    /// <summary>How many of the likeliest tokens are told with each; null tells no log-probabilities at all.</summary>
    public int? Logprobs => HidesLogprobs ? null : Sampling[0].TopLogprobs;

    /// <summary>The answer tells the ids of prompt and choices.</summary>
    public bool ReturnsTokenIds { get; init; }

    public bool Stream { get; init; }

    /// <summary>A last frame of the stream tells the usage.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>Every frame of the stream tells the usage so far.</summary>
    public bool ContinuousUsage { get; init; }

    /// <summary>The HTTP request's id, for logs; null where there is none.</summary>
    public string? RequestId { get; init; }

    public string? CacheSalt { get; init; }

    /// <summary>The session that the body names; null for none.</summary>
    public string? SessionId { get; init; }

    /// <summary>What its session is told of the first choice; null without one.</summary>
    public RecordedTurn? Turn { get; init; }

    public required DateTimeOffset Created { get; init; }

    /// <summary>Timestamp of the request's arrival, to measure from.</summary>
    public required long Arrived { get; init; }

    /// <summary>When the whole request is ended.</summary>
    public required DateTimeOffset Deadline { get; init; }

    public int ChoiceCount => Prompts.Length * ChoicesPerPrompt;

    /// <summary>Prompt tokens of the whole request, each prompt once.</summary>
    public int PromptTokens => Prompts.Sum(prompt => prompt.Length);

    /// <summary>Whether the choice is empty by request, and nothing is asked about its prompt.</summary>
    public bool NeedsNoEngine(int choice) => Sampling[choice / ChoicesPerPrompt].MaxTokens == 0 && (Echo is null || Logprobs is null);

    /// <summary>Begins the time that is left; a stream that is gone on with has used some of it.</summary>
    public CancellationTokenSource StartDeadline(TimeProvider time)
    {
        var left = Deadline - time.GetUtcNow();
        return new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, time);
    }

    public GenerateRequest RequestOf(int choice) => new()
    {
        RequestId = SequenceId(choice),
        Model = Model.Name,
        PromptTokenIds = Prompts[choice / ChoicesPerPrompt],
        Sampling = Sampling[choice / ChoicesPerPrompt],
        Deadline = Deadline,
        CacheSalt = CacheSalt,
        Choice = choice % ChoicesPerPrompt,
        Group = ChoicesPerPrompt == 1 ? null : $"{Id}/{choice / ChoicesPerPrompt}",
        PromptLogprobs = Echo is null ? null : Logprobs,
    };

    /// <summary>The HTTP request's id goes first, so that it is found in every log of the cluster.</summary>
    private string SequenceId(int choice)
    {
        var id = RequestId is null ? Id : $"{RequestId}/{Id}";
        return ChoiceCount == 1 ? id : $"{id}/{choice}";
    }
}

using Granary.GrainInterfaces;

namespace Granary.Client;

/// <summary>A validated request: what each choice is to generate.</summary>
internal sealed record GrainPlan
{
    public required TextModel Model { get; init; }

    /// <summary>The response's id; with a choice's index it names a sequence.</summary>
    public required string Id { get; init; }

    /// <summary>In whole seconds, as the API tells it.</summary>
    public required DateTimeOffset Created { get; init; }

    public required DateTimeOffset Deadline { get; init; }

    public required int[] Prompt { get; init; }

    public required SamplingOptions Sampling { get; init; }

    public required GenerationSettings Settings { get; init; }

    /// <summary>A chat; otherwise a completion.</summary>
    public required bool IsChat { get; init; }

    /// <summary>What its session is told of the first choice; null without one.</summary>
    public RecordedTurn? Turn { get; init; }

    /// <param name="seed">For a request that names none.</param>
    /// <exception cref="GranaryRequestException">A value is out of the model's bounds.</exception>
    public static GrainPlan Create(
        TextModel model, int[] prompt, GenerationSettings settings, bool chat, DateTimeOffset now, DateTimeOffset deadline, Func<ulong> seed)
    {
        Refusals.RequireInteger("n", settings.Choices, 1, GenerationLimits.MaxChoices);
        return new()
        {
            Model = model,
            Id = (chat ? "chatcmpl-" : "cmpl-") + Guid.NewGuid().ToString("N"),
            Created = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds()),
            Deadline = deadline,
            Prompt = prompt,
            Sampling = SamplingOf(model, settings, MaxTokens(model, prompt, settings, chat), seed),
            Settings = settings,
            IsChat = chat,
        };
    }

    public GenerateRequest RequestOf(int choice) => new()
    {
        RequestId = Settings.Choices == 1 ? Id : $"{Id}/{choice}",
        Model = Model.Name,
        PromptTokenIds = Prompt,
        Sampling = Sampling,
        Deadline = Deadline,
        CacheSalt = Settings.CacheSalt,
        Choice = choice,
        Group = Settings.Choices == 1 ? null : Id,
    };

    /// <summary>An update of this response that says nothing yet.</summary>
    public GenerationUpdate Update(int choice = 0) => new() { ResponseId = Id, Model = Model.Name, Created = Created, Choice = choice };

    private static int MaxTokens(TextModel model, int[] prompt, GenerationSettings settings, bool chat)
    {
        var (promptName, name) = (chat ? "messages" : "prompt", SettingsRules.MaxTokensName(chat));
        if (prompt.Length == 0) throw Refusals.Invalid(promptName, $"{promptName} is empty; it must have at least one token.");
        var context = model.ContextLength;
        var room = context - prompt.Length;
        if (room < 1)
            throw TooLong(promptName, $"{promptName} has {prompt.Length} tokens; with at least one to generate, the context of {context} tokens is exceeded.");
        if (settings.MaxTokens is not { } asked) return chat ? room : Math.Min(GenerationLimits.DefaultCompletionTokens, room);
        return asked <= room
            ? asked
            : throw TooLong(name, $"{name} is {asked}; with {prompt.Length} prompt tokens at most {room} fit into the context of {context} tokens.");
    }

    private static SamplingOptions SamplingOf(TextModel model, GenerationSettings settings, int maxTokens, Func<ulong> seed)
    {
        var defaults = model.Card.Defaults;
        var vocabulary = model.Card.VocabularySize;
        Refusals.RequireInteger("min_tokens", settings.MinTokens, 0, maxTokens);
        if (settings.LogitBias?.Keys.Any(id => id < 0 || id >= vocabulary) == true)
            throw Refusals.Invalid("logit_bias", $"logit_bias has a key that is not a token id; ids are 0 to {vocabulary - 1}.");
        RequireIds("stop_token_ids", settings.StopTokenIds, vocabulary);
        return new SamplingOptions
        {
            MaxTokens = maxTokens,
            MinTokens = settings.MinTokens ?? 0,
            Temperature = settings.Temperature ?? defaults.Temperature ?? 1,
            TopK = Math.Max(0, settings.TopK ?? defaults.TopK ?? 0),
            TopP = settings.TopP ?? defaults.TopP ?? 1,
            MinP = settings.MinP ?? defaults.MinP ?? 0,
            RepetitionPenalty = settings.RepetitionPenalty ?? defaults.RepetitionPenalty ?? 1,
            PresencePenalty = settings.PresencePenalty ?? 0,
            FrequencyPenalty = settings.FrequencyPenalty ?? 0,
            LogitBias = settings.LogitBias is { Count: > 0 } biases ? new(biases) : null,
            Seed = settings.Seed is { } given ? unchecked((ulong)given) : seed(),
            StopTokenIds = settings.StopTokenIds.Count > 0 ? [.. settings.StopTokenIds] : null,
            IgnoreEos = settings.IgnoreEos,
            TopLogprobs = settings.TopLogprobs,
        };
    }

    /// <exception cref="GranaryRequestException">One is not of the vocabulary.</exception>
    public static void RequireIds(string parameter, IReadOnlyList<int> ids, int vocabulary)
    {
        for (var i = 0; i < ids.Count; i++)
        {
            if (ids[i] < 0 || ids[i] >= vocabulary)
                throw Refusals.Invalid(parameter, $"{parameter}[{i}] is not a token id; ids are 0 to {vocabulary - 1}.");
        }
    }

    private static GranaryRequestException TooLong(string parameter, string message) => new(message, parameter) { Code = Refusals.ContextLengthExceeded };
}

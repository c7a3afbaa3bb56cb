using System.Runtime.CompilerServices;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Cluster;
using Orleans;

namespace Granary.Client;

/// <summary>A cluster over its grains: text is made here, tokens come from the replica in one hop.</summary>
internal sealed class GrainGranaryClient : GranaryClient
{
    /// <summary>Texts of one request that are embedded at the same time.</summary>
    private const int MaxParallelTexts = 8;

    private readonly IGenerationClient _generation;
    private readonly GranaryClientOptions _options;
    private readonly TimeProvider _time;
    private readonly TextModels _models;
    private readonly RetrySchedule _retries;
    private readonly ChoiceRunner _runner;
    private readonly SessionRecorder _sessions;
    private readonly Random _random;

    public GrainGranaryClient(IGrainFactory grains, IGenerationClient generation, SessionRecorder sessions, GranaryClientOptions options, TimeProvider time, Random random)
    {
        _generation = generation;
        _options = options;
        _time = time;
        _models = new TextModels(grains, options.DefaultModel, time);
        _retries = new RetrySchedule(options, time, new Random(random.Next()));
        _runner = new ChoiceRunner(generation, _retries);
        _sessions = sessions;
        _random = random;
    }

    public override string? DefaultModel => _options.DefaultModel;

    public override IAsyncEnumerable<GenerationUpdate> ChatAsync(ChatRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.Require(request.Settings, chat: true);
        SettingsRules.RequireMessages(request.Messages);
        return GenerateAsync(request.Model, request.Settings, chat: true, model => PromptEncoder.Chat(model, request), cancellationToken);
    }

    public override IAsyncEnumerable<GenerationUpdate> CompleteAsync(CompletionRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.Require(request.Settings, chat: false);
        SettingsRules.RequirePrompt(request);
        return GenerateAsync(request.Model, request.Settings, chat: false, model => PromptEncoder.Completion(model, request), cancellationToken);
    }

    public override async Task<EmbeddingResponse> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        SettingsRules.RequireEmbedding(request);
        using var limit = new CallLimit(request.Timeout ?? _options.Timeout, _time, cancellationToken);
        var model = await FindAsync(request.Model, limit);
        Refusals.RequireInteger("dimensions", request.Dimensions, 1, model.Card.HiddenSize);
        var texts = request.Inputs.Select((input, i) => EmbeddingPrompt(model, input, i)).ToArray();
        var vectors = new ReadOnlyMemory<float>[texts.Length];
        var id = "embd-" + Guid.NewGuid().ToString("N");
        return await limit.RunAsync(async token =>
        {
            await Parallel.ForAsync(
                0, texts.Length, new ParallelOptions { MaxDegreeOfParallelism = MaxParallelTexts, CancellationToken = token },
                async (i, each) => vectors[i] = await EmbedOneAsync(model, texts[i], $"{id}/{i}", request.Dimensions, limit.Deadline, each));
            return new EmbeddingResponse(model.Name, vectors, texts.Sum(text => text.Length));
        });
    }

    public override async Task<IReadOnlyList<ModelInfo>> GetModelsAsync(CancellationToken cancellationToken = default)
    {
        using var limit = new CallLimit(_options.Timeout, _time, cancellationToken);
        var cards = await RetryAsync(_models.ListAsync, limit);
        return [.. cards.Select(card => new ModelInfo(card.Name, DateTimeOffset.FromUnixTimeSeconds(card.Created.ToUnixTimeSeconds()), card.ContextLength))];
    }

    public override async Task<int[]> TokenizeAsync(string? model, string text, bool addSpecialTokens = true, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        using var limit = new CallLimit(_options.Timeout, _time, cancellationToken);
        return PromptEncoder.Text(await FindAsync(model, limit), "prompt", text, addSpecialTokens);
    }

    public override async Task<string> DetokenizeAsync(string? model, IReadOnlyList<int> ids, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(ids);
        using var limit = new CallLimit(_options.Timeout, _time, cancellationToken);
        var text = await FindAsync(model, limit);
        GrainPlan.RequireIds("tokens", ids, text.Card.VocabularySize);
        return text.Tokenizer.Decode([.. ids], skipSpecialTokens: false);
    }

    /// <summary>Holds nothing of its own: the connection to the cluster is Orleans'.</summary>
    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async IAsyncEnumerable<GenerationUpdate> GenerateAsync(
        string? name, GenerationSettings settings, bool chat, Func<TextModel, int[]> encode, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var limit = new CallLimit(settings.Timeout ?? _options.Timeout, _time, cancellationToken);
        var model = await FindAsync(name, limit);
        var plan = GrainPlan.Create(model, encode(model), settings, chat, _time.GetUtcNow(), limit.Deadline, DrawSeed);
        if (settings.SessionId is { } session) plan = plan with { Turn = _sessions.Begin(GrainKeys.Session(tenant: null, session), plan.Id) };
        await foreach (var update in _runner.RunAsync(plan, limit, limit.Token)) yield return update;
        plan.Turn?.Commit(model.Name, plan.Prompt, settings.CacheSalt);
    }

    private Task<TextModel> FindAsync(string? name, CallLimit limit) => RetryAsync(token => _models.GetAsync(name, token), limit);

    private Task<T> RetryAsync<T>(Func<CancellationToken, Task<T>> ask, CallLimit limit) => limit.RunAsync(async token =>
    {
        for (var attempt = 1; ; attempt++)
        {
            GranaryUnavailableException unavailable;
            try
            {
                return await ask(token);
            }
            catch (GranaryUnavailableException exception)
            {
                unavailable = exception;
            }

            if (!await _retries.WaitAsync(attempt, unavailable.RetryAfter, limit.Deadline, token)) throw unavailable;
        }
    });

    private static int[] EmbeddingPrompt(TextModel model, string input, int index)
    {
        var place = $"input[{index}]";
        var ids = PromptEncoder.Text(model, "input", input ?? "");
        if (ids.Length == 0) throw Refusals.Invalid("input", $"{place} is empty; it must have at least one token.");
        return ids.Length <= model.ContextLength
            ? ids
            : throw new GranaryRequestException($"{place} has {ids.Length} tokens; the context holds {model.ContextLength}.", "input") { Code = Refusals.ContextLengthExceeded };
    }

    private async Task<ReadOnlyMemory<float>> EmbedOneAsync(
        TextModel model, int[] ids, string requestId, int? dimensions, DateTimeOffset deadline, CancellationToken cancellationToken)
    {
        var request = new EmbedRequest { RequestId = requestId, Model = model.Name, TokenIds = ids, Deadline = deadline };
        for (var attempt = 1; ; attempt++)
        {
            GranaryClientException error;
            try
            {
                return (await _generation.EmbedAsync(request, cancellationToken)).Normalize(dimensions)
                    ?? throw new GranaryGenerationException("The model gave a vector with components that are no numbers.");
            }
            catch (Exception exception) when (GrainErrors.Map(exception, requestId) is { } mapped)
            {
                error = mapped;
            }

            if (error is not GranaryUnavailableException unavailable
                || !await _retries.WaitAsync(attempt, unavailable.RetryAfter, deadline, cancellationToken)) throw error;
        }
    }

    private ulong DrawSeed()
    {
        lock (_random) return (ulong)_random.NextInt64();
    }
}

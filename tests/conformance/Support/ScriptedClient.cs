using Granary.Client;
using Granary.GrainInterfaces;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance.Support;

/// <summary>Answers as the test says, behind the real gateway, and keeps what it was asked.</summary>
public sealed class ScriptedClient : IGenerationClient
{
    private readonly Lock _lock = new();
    private readonly List<GenerateRequest> _requests = [];
    private readonly List<EmbedRequest> _embeds = [];

    public Func<GenerateRequest, CancellationToken, IAsyncEnumerable<TokenChunk>> Script { get; set; } = (_, _) => throw new InvalidOperationException("No script.");

    public Func<EmbedRequest, CancellationToken, Task<EmbedResult>> EmbedScript { get; set; } = (_, _) => throw new InvalidOperationException("No script.");

    public IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken = default)
    {
        lock (_lock) _requests.Add(request);
        return Script(request, cancellationToken);
    }

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default)
    {
        lock (_lock) _embeds.Add(request);
        return EmbedScript(request, cancellationToken);
    }

    /// <summary>What was asked since the last call, by choice.</summary>
    public GenerateRequest[] TakeRequests()
    {
        lock (_lock)
        {
            GenerateRequest[] taken = [.. _requests.OrderBy(request => request.RequestId.Length).ThenBy(request => request.RequestId, StringComparer.Ordinal)];
            _requests.Clear();
            return taken;
        }
    }

    /// <summary>What was asked to be embedded since the last call.</summary>
    public EmbedRequest[] TakeEmbeds()
    {
        lock (_lock)
        {
            EmbedRequest[] taken = [.. _embeds.OrderBy(request => request.RequestId.Length).ThenBy(request => request.RequestId, StringComparer.Ordinal)];
            _embeds.Clear();
            return taken;
        }
    }

    /// <summary>Tokens with their log-probabilities; the last one ends the choice.</summary>
    public static async IAsyncEnumerable<TokenChunk> TokensAsync(
        GenerateRequest request, FinishReason reason, params (int Id, float Logprob)[] tokens)
    {
        var prompt = request.PromptLogprobs is { } top
            ? request.PromptTokenIds.Skip(1).Select(id => Logprobs(id, -id / 100f, top)).ToArray()
            : null;
        for (var i = 0; i < tokens.Length; i++)
        {
            await Task.Yield();
            yield return new TokenChunk
            {
                Index = i,
                TokenId = tokens[i].Id,
                CachedPromptTokens = 1,
                Logprobs = request.Sampling.TopLogprobs is { } count ? Logprobs(tokens[i].Id, tokens[i].Logprob, count) : null,
                PromptLogprobs = i == 0 ? prompt : null,
                FinishReason = i == tokens.Length - 1 ? reason : null,
            };
        }

        if (tokens.Length == 0) yield return new TokenChunk { TokenId = -1, PromptLogprobs = prompt, FinishReason = reason };
    }

    private static TokenLogprobs Logprobs(int id, float chosen, int top) =>
        new(chosen, [.. Enumerable.Range(0, top).Select(i => id + i)], [.. Enumerable.Range(0, top).Select(i => chosen - i)]);
}

/// <summary>One silo whose gateway asks a scripted client.</summary>
public sealed class ScriptedSilo : IAsyncLifetime
{
    public ScriptedClient Client { get; } = new();

    public RunningSilo Silo { get; private set; } = null!;

    public HttpClient Http => Silo.Http;

    public async Task InitializeAsync() => Silo = await RunningSilo.StartAsync(
        configure: services => services.AddSingleton<IGenerationClient>(Client));

    public async Task DisposeAsync()
    {
        if (Silo is not null) await Silo.DisposeAsync();
    }
}

/// <summary>Tests that script what the gateway's client answers.</summary>
[CollectionDefinition(Name)]
public sealed class ScriptedTests : ICollectionFixture<ScriptedSilo>
{
    public const string Name = "scripted";
}

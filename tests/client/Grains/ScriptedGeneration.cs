using System.Runtime.CompilerServices;
using Granary.Client;
using Granary.GrainInterfaces;

namespace Granary.Tests.Client.Grains;

/// <summary>Answers each call with the next step of a script; the last step answers all further calls.</summary>
internal sealed class ScriptedGeneration(params Func<GenerateRequest, IAsyncEnumerable<TokenChunk>>[] answers) : IGenerationClient
{
    private readonly Lock _gate = new();
    private readonly List<GenerateRequest> _asked = [];
    private readonly List<EmbedRequest> _embedded = [];

    public Func<EmbedRequest, EmbedResult> Embed { get; init; } = _ => throw new InvalidOperationException("No script.");

    public IReadOnlyList<GenerateRequest> Asked
    {
        get
        {
            lock (_gate) return [.. _asked];
        }
    }

    public IReadOnlyList<EmbedRequest> Embedded
    {
        get
        {
            lock (_gate) return [.. _embedded];
        }
    }

    public IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, CancellationToken cancellationToken = default)
    {
        IAsyncEnumerable<TokenChunk> answer;
        lock (_gate)
        {
            _asked.Add(request);
            answer = answers[Math.Min(_asked.Count, answers.Length) - 1](request);
        }

        return PassAsync(answer, cancellationToken);
    }

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default)
    {
        lock (_gate) _embedded.Add(request);
        return Task.FromResult(Embed(request));
    }

    /// <summary>Fails after some tokens.</summary>
    public static Func<GenerateRequest, IAsyncEnumerable<TokenChunk>> Fails(Exception error, int tokens = 0) => _ => FailAsync(error, tokens);

    /// <summary>Gives so many tokens and ends.</summary>
    public static Func<GenerateRequest, IAsyncEnumerable<TokenChunk>> Gives(int tokens, FinishReason reason = FinishReason.Length) => _ => GiveAsync(tokens, reason);

    /// <summary>Says nothing until it is cancelled.</summary>
    public static Func<GenerateRequest, IAsyncEnumerable<TokenChunk>> Hangs(TaskCompletionSource cancelled) => _ => HangAsync(cancelled);

    private static async IAsyncEnumerable<TokenChunk> PassAsync(IAsyncEnumerable<TokenChunk> answer, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var chunk in answer.WithCancellation(cancellationToken)) yield return chunk;
    }

    private static async IAsyncEnumerable<TokenChunk> FailAsync(Exception error, int tokens)
    {
        await Task.Yield();
        for (var i = 0; i < tokens; i++) yield return new TokenChunk { Index = i, TokenId = 300 + i };
        throw error;
    }

    private static async IAsyncEnumerable<TokenChunk> GiveAsync(int tokens, FinishReason reason)
    {
        await Task.Yield();
        for (var i = 0; i < tokens; i++) yield return new TokenChunk { Index = i, TokenId = 300 + (i % 200), CachedPromptTokens = 1 };
        yield return new TokenChunk { Index = tokens, TokenId = -1, FinishReason = reason, CachedPromptTokens = 1 };
    }

    private static async IAsyncEnumerable<TokenChunk> HangAsync(TaskCompletionSource cancelled, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        }
        finally
        {
            cancelled.TrySetResult();
        }

        yield break;
    }
}

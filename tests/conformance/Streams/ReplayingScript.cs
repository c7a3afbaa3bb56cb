using System.Runtime.CompilerServices;
using Granary.Client;
using Granary.GrainInterfaces;

namespace Granary.Tests.Conformance.Streams;

/// <summary>A model that always says the same, and goes on behind whatever it is told to have said.</summary>
/// <param name="tokens">Of each choice, or of its prompt's, all that it says.</param>
internal sealed class ReplayingScript(TextModel model, params string[] tokens) : IGenerationClient
{
    private readonly int[][] _ids = [.. tokens.Select(text => model.Tokenizer.Encode(text, addSpecialTokens: false))];
    private readonly Lock _gate = new();
    private readonly List<GenerateRequest> _requests = [];

    /// <summary>Waited for before the token of this place; null waits for nothing.</summary>
    public Func<int, CancellationToken, Task>? Before { get; set; }

    /// <summary>How the sequence ends; the last token carries it, or a chunk of its own.</summary>
    public (FinishReason Reason, bool Apart) Ending { get; set; } = (FinishReason.Length, false);

    /// <summary>How often it was asked since the last <see cref="TakeRequests"/>.</summary>
    public int Requests
    {
        get
        {
            lock (_gate) return _requests.Count;
        }
    }

    public GenerateRequest[] TakeRequests()
    {
        lock (_gate)
        {
            GenerateRequest[] taken = [.. _requests];
            _requests.Clear();
            return taken;
        }
    }

    public async IAsyncEnumerable<TokenChunk> GenerateAsync(GenerateRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        lock (_gate) _requests.Add(request);
        var ids = _ids[request.Choice % _ids.Length];
        Assert.Equal(ids[..request.ReplayedTokens], request.PromptTokenIds[^request.ReplayedTokens..]);
        var prompt = request.PromptLogprobs is { } asked ? request.PromptTokenIds.Skip(1).Select(id => Logprobs(id, asked)).ToArray() : null;
        var cached = request.ReplayedTokens + 1; // Another replica finds something else in its cache.
        for (var i = request.ReplayedTokens; i < ids.Length; i++)
        {
            if (Before is { } before) await before(i, cancellationToken);
            else await Task.Yield();
            var isLast = i == ids.Length - 1 && !Ending.Apart;
            yield return new TokenChunk
            {
                Index = i,
                TokenId = ids[i],
                CachedPromptTokens = cached,
                Logprobs = request.Sampling.TopLogprobs is { } top ? Logprobs(ids[i], top) : null,
                PromptLogprobs = i == request.ReplayedTokens ? prompt : null,
                FinishReason = isLast ? Ending.Reason : null,
            };
        }

        if (Ending.Apart) yield return new TokenChunk { Index = ids.Length, TokenId = -1, CachedPromptTokens = cached, FinishReason = Ending.Reason };
    }

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    private static TokenLogprobs Logprobs(int id, int top) => new(-id / 8f, [.. Enumerable.Range(0, top).Select(i => id + i)], [.. Enumerable.Range(0, top).Select(i => -i / 4f)]);
}

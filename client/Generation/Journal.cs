using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Routing;

namespace Granary.Client;

/// <summary>A request and what was delivered of it: all that another life needs to go on.</summary>
internal sealed class Journal(GenerateRequest request)
{
    private readonly ulong _prefixHash = PrefixHash.Of(request.PromptTokenIds, request.CacheSalt);
    private int[] _delivered = new int[64];
    private int _count; // Of those, delivered here; the request may have brought others.
    private int? _cachedPromptTokens;
    private bool _hasPromptLogprobs;
    private BlockNames? _names; // Of the blocks so far; null before the first route.

    /// <summary>Tokens that were delivered: the index of the next.</summary>
    public int Position => request.ReplayedTokens + _count;

    /// <summary>The last token was delivered, and only the word that it was the last can be missing.</summary>
    public bool IsComplete => request.Sampling.MaxTokens > 0 && Position >= request.Sampling.MaxTokens;

    /// <summary>What the request found in the cache when it began: a later life tells of its own cache.</summary>
    public int CachedPromptTokens => _cachedPromptTokens ?? 0;

    /// <summary>Names the prompt, without what was delivered. Always by blocks of one size, so that all callers name it alike.</summary>
    /// <value>0 before the first route.</value>
    public ulong Fingerprint { get; private set; }

    /// <summary>Notes the next chunk, and gives it the figures of an unbroken stream.</summary>
    public void Deliver(ref TokenChunk chunk)
    {
        if (_cachedPromptTokens is null) _cachedPromptTokens = chunk.CachedPromptTokens;
        else if (chunk.CachedPromptTokens != _cachedPromptTokens) chunk = chunk with { CachedPromptTokens = CachedPromptTokens };
        _hasPromptLogprobs |= chunk.PromptLogprobs is not null;
        if (chunk.TokenId < 0) return;
        if (_count == _delivered.Length) Array.Resize(ref _delivered, 2 * _count);
        _delivered[_count++] = chunk.TokenId;
    }

    /// <summary>The request as another life is to take it.</summary>
    public GenerateRequest Request(bool isSuspect)
    {
        if (_count == 0 && !isSuspect && !_hasPromptLogprobs) return request;
        return request with
        {
            PromptTokenIds = Tokens(),
            ReplayedTokens = Position,
            PromptLogprobs = _hasPromptLogprobs ? null : request.PromptLogprobs,
            IsSuspect = isSuspect || request.IsSuspect,
        };
    }

    /// <param name="blockTokens">Tokens of a block, as the replicas have them.</param>
    public RouteRequest Route(int blockTokens)
    {
        var tokens = Tokens();
        if (_names?.BlockTokens != blockTokens) _names = new(request.CacheSalt, blockTokens);
        ulong[] blocks = [.. _names.Of(tokens)];
        if (Fingerprint == 0) Fingerprint = FingerprintOf(blocks, blockTokens);
        return new RouteRequest
        {
            RequestId = request.RequestId,
            PromptTokens = tokens.Length,
            MaxTokens = Math.Max(0, request.Sampling.MaxTokens - Position),
            PrefixHash = _prefixHash,
            Group = request.Group,
            Blocks = blocks,
            BlockTokens = blockTokens,
            Fingerprint = Fingerprint,
        };
    }

    /// <summary>Prompt and delivered tokens.</summary>
    private int[] Tokens() => _count == 0 ? request.PromptTokenIds : [.. request.PromptTokenIds, .. _delivered.AsSpan(0, _count)];

    /// <param name="blocks">Names of the blocks of the prompt, and of more.</param>
    private ulong FingerprintOf(ulong[] blocks, int blockTokens)
    {
        var prompt = request.PromptTokenIds.AsSpan(0, Math.Clamp(request.PromptTokenIds.Length - request.ReplayedTokens, 0, request.PromptTokenIds.Length));
        var own = blockTokens == PromptBlocks.DefaultTokens ? blocks.AsSpan(0, Math.Max(0, prompt.Length - 1) / blockTokens) : PromptBlocks.Of(prompt, request.CacheSalt);
        return PromptBlocks.Fingerprint(prompt, own, request.CacheSalt);
    }
}

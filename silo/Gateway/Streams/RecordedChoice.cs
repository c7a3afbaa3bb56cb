using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;

namespace Granary.Silo.Gateway.Streams;

/// <summary>What was read of one choice, and how much of it the journal has.</summary>
internal sealed class RecordedChoice
{
    private readonly List<int> _ids = [];
    private List<TokenLogprobs?>? _logprobs;
    private int _cached;
    private FinishReason? _end;
    private bool _endsApart;
    private int _kept;
    private bool _endIsKept;

    public RecordedChoice()
    {
    }

    /// <param name="tokens">From the journal.</param>
    public RecordedChoice(StreamTokens tokens)
    {
        _ids.AddRange(tokens.TokenIds);
        _logprobs = tokens.Logprobs?.ToList();
        (_cached, _end, _endsApart) = (tokens.CachedPromptTokens, tokens.FinishReason, tokens.EndsApart);
        (_kept, _endIsKept) = (_ids.Count, _end is not null);
    }

    public int Count => _ids.Count;

    /// <summary>Whether there is anything: then it is known what the first replica found in its cache.</summary>
    public bool HasBegun => _ids.Count > 0 || HasEnded;

    public bool HasEnded => _end is not null;

    /// <summary>Tokens that the journal lacks; an end counts as one.</summary>
    public int Pending => _ids.Count - _kept + (HasEnded && !_endIsKept ? 1 : 0);

    public int CachedPromptTokens => _cached;

    public IReadOnlyList<int> Ids => _ids;

    public void Add(in TokenChunk chunk)
    {
        if (!HasBegun) _cached = chunk.CachedPromptTokens;
        if (chunk.TokenId >= 0)
        {
            _ids.Add(chunk.TokenId);
            if (chunk.Logprobs is not null || _logprobs is not null) (_logprobs ??= []).Add(chunk.Logprobs);
        }

        if (chunk.FinishReason is { } reason) (_end, _endsApart) = (reason, chunk.TokenId < 0);
    }

    /// <summary>The chunks as they were read.</summary>
    public IEnumerable<TokenChunk> Chunks()
    {
        for (var i = 0; i < _ids.Count; i++)
        {
            yield return new TokenChunk
            {
                Index = i,
                TokenId = _ids[i],
                CachedPromptTokens = _cached,
                Logprobs = _logprobs?[i],
                FinishReason = i == _ids.Count - 1 && !_endsApart ? _end : null,
            };
        }

        if (_endsApart) yield return new TokenChunk { Index = _ids.Count, TokenId = -1, CachedPromptTokens = _cached, FinishReason = _end };
    }

    /// <summary>What the journal lacks.</summary>
    public StreamTokens ToTokens(int choice) => new()
    {
        Choice = choice,
        From = _kept,
        TokenIds = [.. _ids[_kept..]],
        Logprobs = _logprobs?[_kept..].ToArray(),
        CachedPromptTokens = _cached,
        FinishReason = _end,
        EndsApart = _endsApart,
    };

    public void Keep(StreamTokens tokens) => (_kept, _endIsKept) = (tokens.End, tokens.FinishReason is not null);

    /// <summary>The journal was lost with all it had.</summary>
    public void KeepNothing() => (_kept, _endIsKept) = (0, false);
}

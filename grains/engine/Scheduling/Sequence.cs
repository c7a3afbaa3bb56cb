using Granary.Engine.Kv;
using Granary.Engine.Sampling;

namespace Granary.Engine.Scheduling;

internal enum SequenceState
{
    /// <summary>Holds no blocks: not run yet, or preempted.</summary>
    Waiting,

    /// <summary>Holds blocks, and takes part in steps unless paused.</summary>
    Running,

    Ended,
}

/// <summary>One sequence as the scheduler sees it. Owned by the engine's thread after submission.</summary>
internal sealed class Sequence
{
    private readonly EngineRequest _request;
    private int[] _tokens;

    /// <param name="limit">Most tokens to generate, replayed ones counted: what was asked for, or what the context holds.</param>
    public Sequence(EngineRequest request, int limit, SequenceHandle handle)
    {
        _request = request;
        _tokens = request.PromptTokenIds; // Copied when the first token is appended.
        TokenCount = _tokens.Length;
        PromptLength = _tokens.Length - request.ReplayedTokens;
        Limit = limit;
        Handle = handle;
        Blocks = new(request.CacheSalt);
    }

    public SequenceHandle Handle { get; }

    public SamplingParameters Sampling => _request.Sampling;

    public int Choice => _request.Choice;

    public DateTimeOffset? Deadline => _request.Deadline;

    public BlockTable Blocks { get; }

    /// <summary>Place in the order of arrival; the highest is the youngest.</summary>
    public long Arrival { get; set; }

    public SequenceState State { get; set; }

    /// <summary>Where the output begins: prompt tokens without replayed ones.</summary>
    public int PromptLength { get; }

    public int Limit { get; }

    public int TokenCount { get; private set; }

    public int GeneratedCount => TokenCount - PromptLength;

    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, TokenCount);

    public ReadOnlySpan<int> Prompt => _tokens.AsSpan(0, PromptLength);

    public ReadOnlySpan<int> Output => _tokens.AsSpan(PromptLength, GeneratedCount);

    /// <summary>Tokens whose keys and values are in the cache.</summary>
    public int Computed { get; set; }

    /// <summary>Tokens known and not computed; 1 while decoding.</summary>
    public int Pending => TokenCount - Computed;

    /// <summary>Prompt tokens not computed.</summary>
    public int PendingPrompt => Math.Max(0, _request.PromptTokenIds.Length - Computed);

    /// <summary>Tokens it advances by in the step that is being made or run.</summary>
    public int Scheduled { get; set; }

    /// <summary>Whether it has ever run.</summary>
    public bool Started { get; set; }

    public int CachedPromptTokens { get; set; }

    public void Append(int token)
    {
        if (TokenCount == _tokens.Length) Array.Resize(ref _tokens, Math.Max(16, TokenCount + Math.Min(TokenCount, Limit)));
        _tokens[TokenCount++] = token;
    }
}

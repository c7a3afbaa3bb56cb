using Granary.Engine.Kv;
using Granary.Engine.Prompts;
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
    private PromptReading? _reading;
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
        _reading = PromptReading.Of(request);
    }

    public SequenceHandle Handle { get; }

    public SamplingParameters Sampling => _request.Sampling;

    public int Choice => _request.Choice;

    /// <summary>Whether it must share no step: it has yet to pass the place where an earlier life failed.</summary>
    public bool IsAlone => _request.Alone && GeneratedCount <= _request.ReplayedTokens;

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

    /// <summary>Prompt tokens that it has to compute yet: without those that it will find in the cache.</summary>
    public int PendingPrompt => Math.Max(0, _request.PromptTokenIds.Length - FirstPending);

    /// <summary>Sum over <see cref="PendingPrompt"/> of the tokens before each.</summary>
    public double PendingPromptContext => ContextOf(FirstPending, PendingPrompt);

    /// <summary>Leading tokens that a waiting sequence is to find in the cache, when its turn was last looked at.</summary>
    public int ExpectedCached { get; set; }

    private int FirstPending => State == SequenceState.Waiting ? ExpectedCached : Computed;

    /// <summary>Tokens it advances by in the step that is being made or is in flight; 0 when it stands still.</summary>
    public int Scheduled { get; set; }

    /// <summary>Whether it is in a step that has been made and has not ended: it takes part in no other, and keeps its blocks.</summary>
    public bool InFlight { get; set; }

    /// <summary>Why it ends as soon as it is in flight no more; null when it goes on.</summary>
    public SequenceEnd? PendingEnd { get; set; }

    /// <summary>Whether it has ever run.</summary>
    public bool Started { get; set; }

    public int CachedPromptTokens { get; set; }

    /// <summary>What is still to be read off the prompt; null when nothing is.</summary>
    public PromptReading? Reading => _reading is { IsDone: false } ? _reading : null;

    /// <summary>Leading tokens that may come from the cache: not what is still to be read, nor the last, which must be computed.</summary>
    public int CacheReach => Reading?.Next ?? TokenCount - 1;

    /// <summary>The tokens up to <see cref="CacheReach"/> and the one behind them, as the cache wants them.</summary>
    public ReadOnlySpan<int> CacheableTokens => _tokens.AsSpan(0, CacheReach + 1);

    /// <summary>The older sequence whose prefix this one waits for; null for none.</summary>
    public Sequence? Awaited { get; set; }

    /// <summary>Leading tokens that <see cref="Awaited"/> has to have computed.</summary>
    public int AwaitedTokens { get; set; }

    /// <summary>Whether another token is to be generated.</summary>
    public bool WantsToken => GeneratedCount < Limit;

    /// <summary>Rows of logits that this step's tokens get.</summary>
    public int LogitRows { get; set; }

    /// <summary>Its first row of hidden states in the step's plan; those that are read come first.</summary>
    public int FirstHiddenRow { get; set; }

    /// <summary>Its first row of logits in the step's plan; those that are read come first.</summary>
    public int FirstLogitRow { get; set; }

    /// <summary>The row of logits in the step's plan that its next token is drawn from, if it gets one.</summary>
    public int LastLogitRow => FirstLogitRow + LogitRows - 1;

    /// <summary>Rows of logits that it needs to advance by <paramref name="count"/> tokens.</summary>
    public int LogitRowsOf(int count) =>
        (Reading is { NeedsLogits: true } reading ? reading.RowsOf(Computed, count) : 0) + (count == Pending && WantsToken ? 1 : 0);

    /// <summary>What was read off the prompt, once it is complete; null again afterwards.</summary>
    public PromptOutput? TakePromptOutput()
    {
        if (_reading is not { IsDone: true }) return null;
        var output = _reading.Finish();
        _reading = null;
        return output;
    }

    /// <summary>Sum of the tokens before each of <paramref name="count"/> tokens that follow <paramref name="past"/> others.</summary>
    public static double ContextOf(int past, int count) => count * (past + (count - 1) / 2.0);

    public void Append(int token)
    {
        if (TokenCount == _tokens.Length) Array.Resize(ref _tokens, Math.Max(16, TokenCount + Math.Min(TokenCount, Limit)));
        _tokens[TokenCount++] = token;
    }
}

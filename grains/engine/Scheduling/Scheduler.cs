using Granary.Engine.Execution;
using Granary.Engine.Kv;
using Granary.Engine.Sampling;

namespace Granary.Engine.Scheduling;

/// <summary>Decides who advances in a step and by how many tokens, and keeps sequences and KV blocks consistent. Pure: no clock, no threads.</summary>
/// <remarks>
/// First come, first served. A step takes one token of every decoding sequence, then pieces of prompts in order of arrival, then
/// starts waiting sequences, but for those whose next block an older one is about to leave in the cache (<see cref="PrefixWaits"/>).
/// When blocks run out the youngest running sequence gives its up and is computed again later: what it generated becomes part of
/// what is prefilled. The oldest that runs therefore always advances, and everything ends. Sequences whose readers are behind stand
/// still; they are the first to lose blocks or place to others. Where several steps may be in flight, a sequence is in one of them at
/// most, keeps its blocks while it is, and those that can advance are spread over them (<see cref="StepShares"/>).
/// </remarks>
internal sealed class Scheduler
{
    private readonly int _maxTokens;
    private readonly int _maxRunning;
    private readonly int _maxLogitRows;
    private readonly KvCache _cache;
    private readonly KvPins _pins;
    private readonly PrefixWaits _prefixWaits;
    private readonly AloneTurns _aloneTurns;
    private readonly List<Sequence> _waiting = []; // Both in order of arrival.
    private readonly List<Sequence> _running = [];
    private readonly List<Delivery> _outbox = [];
    private readonly StepPlanWriter _writer;
    private readonly Stack<ScheduledStep> _unused = new();
    private readonly int _depth;
    private int _inFlight;
    private bool _aloneInFlight;
    private long _arrivals;
    private int _noLongerQueued;
    private int _budget;
    private int _logitRows;
    private bool _preempted;
    private bool _stalled;

    public Scheduler(ExecutorShape shape, EngineOptions options, KvCache? cache = null)
    {
        _maxTokens = options.MaxTokensPerStep;
        _maxLogitRows = shape.MaxLogitRows;
        _maxRunning = Math.Min(Math.Min(options.MaxRunningSequences, options.MaxTokensPerStep), _maxLogitRows); // So that each advances.
        _cache = cache ?? new(shape.KvBlockCount, shape.KvBlockTokens, options.PrefixCaching);
        _pins = new(_cache, (int)(_cache.Capacity * (long)options.MaxPinnedPercent / 100));
        _prefixWaits = new(_cache);
        _writer = new(_maxTokens, _maxRunning, _maxLogitRows, shape.Summaries);
        _depth = shape.StepsInFlight;
        _aloneTurns = new(_depth);
    }

    public int RunningCount => _running.Count;

    public int WaitingCount => _waiting.Count;

    public KvCache Cache => _cache;

    /// <summary>What is kept for who comes back; given up before anybody waits for blocks.</summary>
    public KvPins Pins => _pins;

    /// <summary>Sequences that have started to run, or ended before they did, since the last call.</summary>
    public int TakeNoLongerQueued()
    {
        var count = _noLongerQueued;
        _noLongerQueued = 0;
        return count;
    }

    public SchedulerCounters Counters { get; } = new();

    /// <summary>Tokens and ends to hand out; emptied by the owner.</summary>
    public List<Delivery> Outbox => _outbox;

    public long PendingPromptTokens
    {
        get
        {
            long sum = 0;
            foreach (var sequence in _running) sum += sequence.PendingPrompt;
            foreach (var sequence in _waiting) sum += sequence.PendingPrompt;
            return sum;
        }
    }

    /// <summary>Sum over <see cref="PendingPromptTokens"/> of the tokens before each.</summary>
    public double PendingPromptContext
    {
        get
        {
            double sum = 0;
            foreach (var sequence in _running) sum += sequence.PendingPromptContext;
            foreach (var sequence in _waiting) sum += sequence.PendingPromptContext;
            return sum;
        }
    }

    /// <summary>Lets a sequence wait for its turn.</summary>
    public void Add(Sequence sequence)
    {
        if (sequence.State == SequenceState.Ended) return; // Its deadline passed while it was on its way here.
        sequence.Arrival = _arrivals++;
        if (!sequence.WantsToken && sequence.Reading is null)
        {
            End(sequence, SequenceEnd.Length); // Such as a replay of a sequence that had generated all it may.
            return;
        }

        _prefixWaits.Foretell(sequence, _running, _waiting);
        _waiting.Add(sequence);
        _aloneTurns.Add(sequence);
    }

    /// <summary>Ends a sequence without a further token and frees its blocks: at once, or when the step ends that it is in. Nothing happens if it has ended.</summary>
    public void Cancel(Sequence sequence, SequenceEnd end)
    {
        if (sequence.State == SequenceState.Ended) return;
        if (sequence.InFlight)
        {
            sequence.PendingEnd ??= end;
            return;
        }

        (sequence.State == SequenceState.Running ? _running : _waiting).Remove(sequence);
        End(sequence, end);
    }

    /// <summary>Makes the next step, of sequences that are in no step in flight.</summary>
    /// <returns>Null when as many are in flight as may be, or no sequence can advance: there is none, all are in flight or wait for one that is, or their readers are behind.</returns>
    public ScheduledStep? Schedule()
    {
        if (_inFlight == _depth || _aloneInFlight) return null;
        if (_aloneTurns.Next() is not { } alone) return ScheduleOthers();
        if (!_aloneTurns.IsDue && ScheduleOthers() is { } others) return others;
        return _inFlight > 0 ? null : ScheduleAlone(alone) ?? ScheduleOthers();
    }

    /// <summary>Makes a step of all that may share one.</summary>
    private ScheduledStep? ScheduleOthers()
    {
        BeginPlanning();
        var shares = StepShares.Of(_depth, _inFlight, _running, _waiting, _maxRunning);
        Advance(decoding: true, shares.Decoding);
        var prompts = Advance(decoding: false, shares.Prompts);
        if (!_preempted && !_stalled) StartWaiting(shares.Prompts - prompts);

        var step = CollectStep();
        if (step is not null) _aloneTurns.OthersAdvanced();
        return step;
    }

    /// <summary>Makes a step of one sequence that shares none, if blocks and place can be had for it. No step is in flight.</summary>
    private ScheduledStep? ScheduleAlone(Sequence sequence)
    {
        BeginPlanning();
        if (sequence.State == SequenceState.Waiting) TryStartNext(sequence);
        else TryAdvance(sequence);

        var step = CollectStep();
        _aloneInFlight = step is not null;
        _aloneTurns.HadTurn(heldUp: step is null ? sequence : null);
        return step;
    }

    private void BeginPlanning()
    {
        _budget = _maxTokens;
        _logitRows = _maxLogitRows;
        (_preempted, _stalled) = (false, false);
    }

    /// <returns>The step of the sequences that were given tokens; null when there are none.</returns>
    private ScheduledStep? CollectStep()
    {
        if (!_unused.TryPop(out var step)) step = new();
        step.Collect(_running);
        if (step.Planned.Count == 0)
        {
            _unused.Push(step);
            return null;
        }

        foreach (var sequence in step.Planned) sequence.InFlight = true;
        _writer.Write(step.Plan, step.Planned);
        _inFlight++;
        return step;
    }

    /// <summary>Takes the results of the oldest step in flight: one for every sequence that gets a token. What is read off prompts has been.</summary>
    /// <param name="step">Stays as it is until the next <see cref="Schedule"/>.</param>
    public void Complete(ScheduledStep step, ReadOnlySpan<SampledToken> tokens)
    {
        foreach (var sequence in step.Planned)
        {
            sequence.Computed += sequence.Scheduled;
            (sequence.InFlight, sequence.Scheduled, sequence.LogitRows) = (false, 0, 0);
            _cache.Share(sequence.Blocks, sequence.Tokens, sequence.Computed);
            if (sequence.PendingEnd is not { } end)
            {
                if (sequence.WantsToken || sequence.Reading is not null) continue;
                end = SequenceEnd.Length;
            }

            _running.Remove(sequence);
            End(sequence, end);
        }

        for (var i = 0; i < step.Sampled.Count; i++)
        {
            if (step.Sampled[i].State == SequenceState.Running) Append(step.Sampled[i], tokens[i]);
        }

        _inFlight--;
        _aloneInFlight = false; // Were one in flight, it was this.
        _unused.Push(step);
    }

    /// <summary>Takes out every sequence, as when the engine ends.</summary>
    public IReadOnlyList<Sequence> Drain()
    {
        Sequence[] all = [.. _running, .. _waiting];
        foreach (var sequence in all)
        {
            sequence.State = SequenceState.Ended;
            _cache.Release(sequence.Blocks);
        }

        _running.Clear();
        _waiting.Clear();
        return all;
    }

    /// <param name="most">Sequences that may advance.</param>
    /// <returns>How many do.</returns>
    private int Advance(bool decoding, int most)
    {
        var taken = 0;
        for (var i = 0; i < _running.Count && _budget > 0 && taken < most && !_stalled; i++)
        {
            var sequence = _running[i];
            if (sequence.InFlight || sequence.IsAlone || sequence.Pending == 1 != decoding || sequence.Handle.IsPaused()) continue;
            var running = _running.Count;
            if (TryAdvance(sequence)) taken++;
            // The list may have lost sequences, the current one too if it is the last.
            if (_running.Count < running) i = sequence.State == SequenceState.Running ? _running.IndexOf(sequence) : _running.Count;
        }

        return taken;
    }

    /// <summary>Gives a running sequence tokens of the step, and blocks for them: of others if need be, which may cost it its own.</summary>
    private bool TryAdvance(Sequence sequence)
    {
        var chunk = ChunkOf(sequence);
        if (chunk == 0) return false;
        while (!TryGrow(sequence, sequence.Computed + chunk))
        {
            if ((PausedVictim() ?? YoungestVictim(sequence)) is not { } victim)
            {
                _stalled = true;
                return false;
            }

            Preempt(victim);
            if (victim == sequence) return false;
        }

        Take(sequence, chunk);
        return true;
    }

    /// <summary>Tokens that the sequence may advance by, as far as budget and rows of logits reach.</summary>
    private int ChunkOf(Sequence sequence)
    {
        var chunk = Math.Min(sequence.Pending, _budget);
        // A token needs a row at most, so that this never cuts more than it must.
        while (sequence.LogitRowsOf(chunk) - _logitRows is var missing and > 0) chunk -= missing;
        return chunk;
    }

    private void Take(Sequence sequence, int chunk)
    {
        sequence.Scheduled = chunk;
        sequence.LogitRows = sequence.LogitRowsOf(chunk);
        _budget -= chunk;
        _logitRows -= sequence.LogitRows;
    }

    private void StartWaiting(int most)
    {
        for (var i = 0; i < _waiting.Count && _budget > 0 && _logitRows > 0 && most > 0;)
        {
            var sequence = _waiting[i];
            if (sequence == _aloneTurns.Held) return; // As below.
            if (sequence.IsAlone || sequence.Handle.IsPaused() || _prefixWaits.MustWait(sequence, _running) || _cache.MustFetch(sequence.Blocks, sequence.CacheableTokens))
            {
                i++;
                continue;
            }

            // Those behind it wait too: overtaking would let small requests starve a large one.
            if (!TryStartNext(sequence)) return;
            most--;
            // Those that had to give way to it may stand before it now.
            while (i < _waiting.Count && _waiting[i].Arrival < sequence.Arrival) i++;
        }
    }

    /// <summary>Starts a waiting sequence, if need be in the place or with the blocks of one whose reader is behind.</summary>
    private bool TryStartNext(Sequence sequence)
    {
        while (!TryStart(sequence))
        {
            if (PausedVictim() is not { } victim) return false;
            Preempt(victim);
        }

        _waiting.Remove(sequence);
        InsertByArrival(_running, sequence);
        return true;
    }

    /// <summary>Gives a waiting sequence its first blocks if all that it has to compute fits, so that it is not preempted right after.</summary>
    private bool TryStart(Sequence sequence)
    {
        if (_running.Count >= _maxRunning) return false;

        var cached = _cache.AcquirePrefix(sequence.Blocks, sequence.CacheableTokens);
        if (!TryGrow(sequence, sequence.TokenCount))
        {
            _cache.Release(sequence.Blocks);
            return false;
        }

        sequence.State = SequenceState.Running;
        sequence.Awaited = null;
        sequence.Computed = cached;
        Take(sequence, ChunkOf(sequence));
        if (!sequence.Started) CountStart(sequence, cached);
        return true;
    }

    private bool TryGrow(Sequence sequence, int tokens) =>
        _cache.TryGrow(sequence.Blocks, tokens)
        || (_pins.TryFree(_cache.BlocksFor(tokens) - sequence.Blocks.Count) && _cache.TryGrow(sequence.Blocks, tokens));

    private void CountStart(Sequence sequence, int cached)
    {
        sequence.Started = true;
        _noLongerQueued++;
        sequence.CachedPromptTokens = Math.Min(cached, sequence.PromptLength);
        Counters.PromptTokens += sequence.PromptLength;
        if (_cache.IsShared && sequence.CacheReach > 0) Counters.PrefixCacheQueries += sequence.TokenCount;
        Counters.PrefixCacheHits += cached;
    }

    private void Preempt(Sequence victim)
    {
        if (!victim.Handle.IsPaused()) _preempted = true;
        Counters.Preemptions++;
        _budget += victim.Scheduled;
        _logitRows += victim.LogitRows;
        victim.Scheduled = 0;
        victim.LogitRows = 0;
        victim.Computed = 0;
        victim.State = SequenceState.Waiting;
        _cache.Release(victim.Blocks);
        _running.Remove(victim);
        InsertByArrival(_waiting, victim);
    }

    private Sequence? PausedVictim()
    {
        for (var i = _running.Count - 1; i >= 0; i--)
        {
            if (!_running[i].InFlight && _running[i].Handle.IsPaused()) return _running[i];
        }

        return null;
    }

    /// <summary>Who gives its blocks up for a sequence: the youngest that can, itself only if it is the youngest of all.</summary>
    /// <returns>Null when the sequence has to wait for younger ones in flight. Nobody behind it advances meanwhile, so they end.</returns>
    private Sequence? YoungestVictim(Sequence sequence)
    {
        for (var i = _running.Count - 1; i >= 0; i--)
        {
            if (_running[i] == sequence) return i == _running.Count - 1 ? sequence : null;
            if (!_running[i].InFlight) return _running[i];
        }

        return null;
    }

    private static void InsertByArrival(List<Sequence> sequences, Sequence sequence)
    {
        var i = sequences.Count;
        while (i > 0 && sequences[i - 1].Arrival > sequence.Arrival) i--;
        sequences.Insert(i, sequence);
    }

    private void Append(Sequence sequence, SampledToken sampled)
    {
        sequence.Append(sampled.TokenId);
        Counters.GenerationTokens++;
        SequenceEnd? end = sequence.Sampling.StopTokenIds.Contains(sampled.TokenId) ? SequenceEnd.Stop
            : !sequence.WantsToken ? SequenceEnd.Length
            : null;
        _outbox.Add(new(sequence.Handle, new(
            sequence.GeneratedCount - 1, sampled.TokenId, sequence.CachedPromptTokens, end, sampled.Logprobs, sequence.TakePromptOutput())));
        if (end is null) return;

        _running.Remove(sequence);
        Finish(sequence);
    }

    private void End(Sequence sequence, SequenceEnd end)
    {
        _outbox.Add(new(sequence.Handle, new(sequence.GeneratedCount, -1, sequence.CachedPromptTokens, end, Prompt: sequence.TakePromptOutput())));
        Finish(sequence);
    }

    private void Finish(Sequence sequence)
    {
        sequence.State = SequenceState.Ended;
        sequence.Awaited = null;
        sequence.Scheduled = 0; // Nobody waits for it any more.
        _cache.Release(sequence.Blocks);
        if (!sequence.Started) _noLongerQueued++;
    }
}

/// <summary>A token on its way to a reader.</summary>
internal readonly record struct Delivery(SequenceHandle Handle, GeneratedToken Token);

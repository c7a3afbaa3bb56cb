using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Kv;
using Granary.Engine.Kv.Tiers;
using Granary.Engine.Sampling;
using Granary.Engine.Scheduling;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Support.Replay;

/// <summary>One life of a replica: the engine's scheduler, cache and events in virtual time, on a device whose steps take what <see cref="DeviceCosts"/> says.</summary>
internal sealed class ReplayReplica
{
    private const int EventCapacity = 1 << 14;

    private readonly ReplaySettings _settings;
    private readonly ReplayClock _clock;
    private readonly KvEventLog _events = new(EventCapacity);
    private readonly Scheduler _scheduler;
    private readonly StepTimes _times = new();
    private readonly TierCounters _tiers = new(); // The device is all there is.
    private readonly Dictionary<SequenceHandle, ReplayStream> _streams = [];
    private readonly HashSet<ulong> _everStored = [];
    private SampledToken[] _sampled = [];
    private long _steps;
    private long _seen;
    private bool _busy;
    private long _began;

    public ReplayReplica(ReplicaLife life, ReplaySettings settings, int blockTokens, ReplayClock clock)
    {
        (Life, _settings, _clock) = (life, settings, clock);
        var shape = new ExecutorShape(1, 1, settings.ContextLength, settings.BlocksPerReplica, blockTokens, settings.Engine.MaxRunningSequences);
        _scheduler = new(shape, settings.Engine, new(settings.BlocksPerReplica, blockTokens, shared: true, ReplayTokens.Name, _events));
        Descriptor = new()
        {
            Replica = life,
            ContextLength = shape.ContextLength,
            KvCapacityTokens = (long)shape.KvBlockCount * blockTokens,
            BlockTokens = blockTokens,
        };
    }

    public ReplicaLife Life { get; }

    public ReplicaDescriptor Descriptor { get; }

    public bool HasEnded { get; private set; }

    /// <summary>Seconds of steps so far.</summary>
    public double BusySeconds { get; private set; }

    public ReplicaLoad Load
    {
        get
        {
            var load = LoadValues.Of(_scheduler, _tiers, _times, _steps, _busy ? _began : null, expectedSeconds: 0)
                .ToLoad(_scheduler.Cache.Capacity, _busy ? _clock.GetElapsedTime(_began) : TimeSpan.Zero);
            return new()
            {
                Epoch = Life.Epoch,
                RunningSequences = load.RunningSequences,
                WaitingSequences = load.WaitingSequences,
                PendingPrefillTokens = load.PendingPrefillTokens,
                KvBlocksTotal = load.KvBlocksTotal,
                KvBlocksUsed = load.KvBlocksUsed,
                Steps = load.Steps,
                SecondsPerPrefillToken = load.SecondsPerPrefillToken,
                SecondsPerDecodeStep = load.SecondsPerDecodeStep,
                SecondsPerPrefillContext = load.SecondsPerPrefillContext,
                PendingPrefillSeconds = load.PendingPrefillSeconds,
                LongestStepSeconds = load.LongestStepSeconds,
                StepAgeSeconds = load.StepAgeSeconds,
            };
        }
    }

    /// <summary>Numbered as routers are told them: from 1.</summary>
    public KvEvents Events(long from)
    {
        var batch = _events.Read(Math.Max(0, from - 1));
        return new()
        {
            First = batch.IsSnapshot ? 0 : batch.First + 1,
            Next = batch.Next + 1,
            IsSnapshot = batch.IsSnapshot,
            Runs = Array.ConvertAll(batch.Runs, run => new KvRun(run.IsStored, (KvTier)run.Tier, run.Count)),
            Blocks = batch.Blocks,
        };
    }

    /// <summary>Of the first blocks of a prompt, those that never were in this life's cache.</summary>
    public int NeverStored(ReadOnlySpan<ulong> blocks)
    {
        for (var batch = _events.Read(_seen); ; batch = _events.Read(_seen))
        {
            _everStored.UnionWith(batch.Blocks);
            _seen = batch.Next;
            if (batch.Blocks.Length < KvEventBatch.MaxBlocks) break;
        }

        var missing = 0;
        foreach (var block in blocks) missing += _everStored.Contains(block) ? 0 : 1;
        return missing;
    }

    /// <returns><see langword="false"/> when this life has ended.</returns>
    public bool Submit(ReplayStream stream, EngineRequest request)
    {
        if (HasEnded) return false;
        var sequence = new Sequence(request, request.Sampling.MaxTokens, new(capacity: 1));
        _streams.Add(sequence.Handle, stream);
        _scheduler.Add(sequence);
        if (!_busy) BeginStep();
        return true;
    }

    /// <summary>As if killed: nothing is told.</summary>
    /// <returns>The streams that it had.</returns>
    public IReadOnlyList<ReplayStream> End()
    {
        HasEnded = true;
        _scheduler.Drain();
        return [.. _streams.Values];
    }

    private void BeginStep()
    {
        if (_scheduler.Schedule() is not { } step)
        {
            _busy = false;
            return;
        }

        _steps++;
        (_busy, _began) = (true, _clock.GetTimestamp());
        var (decoding, cached, prefill, context) = (0, 0L, 0L, 0.0);
        foreach (var sequence in step.Planned)
        {
            if (sequence.Scheduled == 1 && sequence.Pending == 1 && sequence.Computed > 0) (decoding, cached) = (decoding + 1, cached + sequence.Computed);
            else (prefill, context) = (prefill + sequence.Scheduled, context + Sequence.ContextOf(sequence.Computed, sequence.Scheduled));
        }

        var seconds = _settings.Costs.StepSeconds(decoding, cached, prefill, context);
        BusySeconds += seconds;
        _clock.After(seconds, () => EndStep(step));
    }

    private void EndStep(ScheduledStep step)
    {
        if (HasEnded) return;
        if (_sampled.Length < step.Sampled.Count) _sampled = new SampledToken[step.Sampled.Count];
        for (var i = 0; i < step.Sampled.Count; i++)
        {
            var sequence = step.Sampled[i];
            _sampled[i] = new(ReplayTokens.Generated(_streams[sequence.Handle].Number, sequence.GeneratedCount));
        }

        var elapsed = _clock.GetElapsedTime(_began);
        _times.Record(step.Plan, elapsed, elapsed, behindPrompts: false);
        _scheduler.Complete(step, _sampled.AsSpan(0, step.Sampled.Count));
        foreach (var (handle, token) in _scheduler.Outbox)
        {
            var stream = _streams[handle];
            if (token.End is not null) _streams.Remove(handle);
            stream.Take(token);
        }

        _scheduler.Outbox.Clear();
        BeginStep();
    }
}

using Granary.Engine;
using Granary.Engine.Execution;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains;

/// <summary>One life of a replica on this silo: its engine, from the passed probe until its end.</summary>
/// <remarks>Safe for any thread.</remarks>
public sealed class HostedReplica
{
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _users;
    private bool _draining;
    private StepFailedException? _abandoned;

    internal HostedReplica(ReplicaSpec spec, long epoch, LoadedReplica loaded)
    {
        Spec = spec;
        Epoch = epoch;
        Loaded = loaded;
        Descriptor = new ReplicaDescriptor
        {
            Replica = new(spec.ReplicaId, epoch),
            KvCapacityTokens = (long)Engine.Info.KvBlockCount * Engine.Info.KvBlockTokens,
            ContextLength = Engine.Info.ContextLength,
            BlockTokens = Engine.Info.KvBlockTokens,
        };
    }

    public string ReplicaId => Spec.ReplicaId;

    public string Model => Spec.Model;

    /// <summary>Larger than that of every earlier life.</summary>
    public long Epoch { get; }

    public ReplicaSpec Spec { get; }

    public IInferenceEngine Engine => Loaded.Engine;

    /// <summary>The model's own end-of-sequence ids.</summary>
    public IReadOnlySet<int> EosTokenIds => Loaded.EosTokenIds;

    /// <summary>What a router needs to know.</summary>
    public ReplicaDescriptor Descriptor { get; }

    /// <summary>Completes when this life is over, with the error that ended it, or null where it was ended on purpose. Never faults.</summary>
    public Task<Exception?> Ended => _ended.Task;

    /// <summary>It takes nothing new and will end; what runs goes on until its users have left or their time is over.</summary>
    public bool IsDraining
    {
        get
        {
            lock (_gate) return _draining;
        }
    }

    /// <summary>Set where the life ended although its engine's thread did not: sequences then fail by this, for the engine tells them nothing any more.</summary>
    internal StepFailedException? Abandoned => Volatile.Read(ref _abandoned);

    /// <summary>It began to drain, or has ended. Raised on any thread; who comes late looks for himself.</summary>
    internal event Action? Changed;

    /// <summary>What the life has to give back at its end.</summary>
    internal LoadedReplica Loaded { get; }

    /// <summary>Sequences that somebody is reading, queued ones included; the engine's own figures lag by a step.</summary>
    internal int Users
    {
        get
        {
            lock (_gate) return _users;
        }
    }

    /// <summary>Takes part in this life for as long as a sequence runs; null once it takes nothing new.</summary>
    internal Stay? TryEnter()
    {
        lock (_gate)
        {
            if (_draining || _ended.Task.IsCompleted) return null;
            _users++;
            return new Stay(this);
        }
    }

    /// <summary>Takes nothing new from now on; completes when the last user has left.</summary>
    internal Task DrainAsync()
    {
        bool begins;
        lock (_gate)
        {
            begins = !_draining;
            _draining = true;
            if (_users == 0) _drained.TrySetResult();
        }

        if (begins) Changed?.Invoke();
        return _drained.Task;
    }

    /// <summary>Cancels a sequence; its blocks are free when this returns. An engine that hangs is waited for only as long as the life lasts.</summary>
    internal async Task FreeAsync(ISequenceHandle sequence)
    {
        var freed = sequence.DisposeAsync().AsTask();
        if (!freed.IsCompleted) await Task.WhenAny(freed, Ended).ConfigureAwait(false);
        if (Abandoned is null) await freed.ConfigureAwait(false);
    }

    internal void End(Exception? failure)
    {
        if (_ended.TrySetResult(failure)) Changed?.Invoke();
    }

    /// <summary>Ends the life without its engine, which does not come back from a step.</summary>
    internal void Abandon(StepFailedException failure)
    {
        Volatile.Write(ref _abandoned, failure); // Before anybody hears of the end.
        End(failure);
    }

    private void Leave()
    {
        lock (_gate)
        {
            if (--_users == 0 && _draining) _drained.TrySetResult();
        }
    }

    /// <summary>One user's time in a life.</summary>
    internal sealed class Stay(HostedReplica replica) : IDisposable
    {
        private bool _left;

        public void Dispose()
        {
            if (_left) return;
            _left = true;
            replica.Leave();
        }
    }
}

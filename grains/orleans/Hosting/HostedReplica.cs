using Granary.Engine;
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
        lock (_gate)
        {
            _draining = true;
            if (_users == 0) _drained.TrySetResult();
        }

        return _drained.Task;
    }

    internal void End(Exception? failure) => _ended.TrySetResult(failure);

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

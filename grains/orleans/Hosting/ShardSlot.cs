using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains;

/// <summary>The place of one shard.</summary>
[SuppressMessage("Design", "CA1001", Justification = "As the base's.")]
internal sealed class ShardSlot(ShardSpec spec, TimeProvider time) : HostSlot<ILoadedShard>, IProgress<double>
{
    private readonly CancellationTokenSource _settled = new();
    private long _heardAt = time.GetTimestamp();
    private double _progress;

    public ShardSpec Spec => spec;

    /// <summary>Cancelled when the leader need no longer be heard of: the shard is joined, or at its end.</summary>
    public CancellationToken Settled => _settled.Token;

    public TimeSpan SinceHeard => time.GetElapsedTime(Volatile.Read(ref _heardAt));

    public ShardStatus Status => Loading.IsCompletedSuccessfully
        ? Loading.Result.Status
        : new ShardStatus
        {
            ReplicaId = spec.Replica.ReplicaId,
            Epoch = spec.Epoch,
            Stage = spec.Stage,
            Rank = spec.Rank,
            State = ShardState.Loading,
            Progress = Volatile.Read(ref _progress),
        };

    public void Report(double value) => Volatile.Write(ref _progress, value);

    /// <summary>The leader has asked.</summary>
    public void Hear() => Volatile.Write(ref _heardAt, time.GetTimestamp());

    public void Join() => _settled.Cancel();

    public override void End()
    {
        base.End();
        _settled.Cancel();
    }
}

using System.Diagnostics.CodeAnalysis;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains;

/// <summary>The place of one shard: one load and the life that follows from it. Safe for any thread.</summary>
[SuppressMessage("Design", "CA1001", Justification = "Sources without timers hold nothing to dispose, and a late End must not throw.")]
internal sealed class ShardSlot(ShardSpec spec, TimeProvider time) : IProgress<double>
{
    private readonly CancellationTokenSource _end = new();
    private readonly CancellationTokenSource _settled = new();
    private readonly TaskCompletionSource _endAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _retired = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _heardAt = time.GetTimestamp();
    private double _progress;

    public ShardSpec Spec => spec;

    public Task<ILoadedShard> Loading { get; set; } = null!; // Set under the lock that makes the slot visible.

    public bool Ending => _end.IsCancellationRequested;

    public CancellationToken EndAsked => _end.Token;

    public Task EndAskedTask => _endAsked.Task;

    /// <summary>Cancelled when the leader need no longer be heard of: the shard is joined, or at its end.</summary>
    public CancellationToken Settled => _settled.Token;

    /// <summary>Completes when the slot is out of the table and its memory is back.</summary>
    public Task Retired => _retired.Task;

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

    public void End()
    {
        _end.Cancel();
        _settled.Cancel();
        _endAsked.TrySetResult();
    }

    public void Retire() => _retired.TrySetResult();
}

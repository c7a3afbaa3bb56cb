using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains;

/// <summary>The engines of this silo that did not come back from a step, and so the device that is not to be used again.</summary>
/// <remarks>Their threads cannot be ended: they keep their memory and cores until they end by themselves, which nobody may count on. Safe for any thread.</remarks>
internal sealed class HungEngines
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, (ReplicaSpec Spec, LoadedReplica Loaded)> _left = []; // By epoch.
    private string? _reason;

    /// <summary>Why the device is not used again in this process; null where it is sound.</summary>
    public string? Reason => Volatile.Read(ref _reason);

    /// <summary>What still has memory and cores.</summary>
    public IReadOnlyCollection<(ReplicaSpec Spec, LoadedReplica Loaded)> Left
    {
        get
        {
            lock (_gate) return [.. _left.Values];
        }
    }

    /// <summary>The first reason stays.</summary>
    public void Condemn(string replicaId, long epoch) =>
        Interlocked.CompareExchange(
            ref _reason, $"The device that replica '{replicaId}' was on hangs in a step of its epoch {epoch}; it is not used again before this process is started anew.", null);

    /// <param name="ended">Completes if its thread ends after all.</param>
    public void Keep(ReplicaSpec spec, LoadedReplica loaded, long epoch, Task ended)
    {
        lock (_gate) _left.Add(epoch, (spec, loaded));
        _ = ended.ContinueWith(_ => Forget(epoch), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <param name="what">What is to be loaded, as <c>Replica '…'</c>.</param>
    /// <exception cref="ModelLoadException">The device hangs.</exception>
    public void Require(string what)
    {
        if (Reason is { } reason) throw new ModelLoadException($"{what} cannot be loaded: {reason}");
    }

    private void Forget(long epoch)
    {
        lock (_gate) _left.Remove(epoch);
    }
}

using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Models;

/// <summary>A replica that is wanted: where, how, and its life where it has one.</summary>
/// <param name="index">Its number.</param>
/// <param name="name"><c>model/index</c>.</param>
internal sealed class ModelReplica(int index, string name, RetryClock retry)
{
    public int Index => index;

    public string Name => name;

    public RetryClock Retry => retry;

    /// <summary>Where it is, or was last tried; null before that.</summary>
    public ReplicaPlacement? Placement { get; private set; }

    /// <summary>Null while it is not loaded.</summary>
    public ReplicaDescriptor? Living { get; private set; }

    /// <summary>Why it is not there, as far as it is known.</summary>
    public string? Obstacle { get; private set; }

    public void Place(ReplicaPlacement? placement) => Placement = placement;

    public void Loaded(ReplicaDescriptor descriptor)
    {
        if (Living?.Replica != descriptor.Replica) retry.Loaded();
        (Living, Obstacle) = (descriptor, null);
    }

    public void LoadFailed(string why)
    {
        retry.LoadFailed();
        Obstacle = why; // A life it has is not over because its worker did not answer once.
    }

    public void LifeEnded(string why)
    {
        retry.LifeEnded();
        (Living, Obstacle) = (null, why);
    }

    /// <summary>It was ended because it is to be otherwise.</summary>
    public void Unloaded() => (Placement, Living, Obstacle) = (null, null, null);

    public MissingReplica ToMissing() => new(name, Obstacle ?? "It is being loaded.", retry.Remaining);
}

/// <summary>Where a replica goes.</summary>
/// <param name="Worker">The worker that loads it: its leader's, where it is cut.</param>
internal sealed record ReplicaPlacement(string Worker, ReplicaSpec Spec)
{
    /// <summary>Whether a replica placed so is what the deployment wants.</summary>
    public bool Fits(int index, DeploymentSpec deployment)
    {
        if (Spec.IntraOpThreads != deployment.IntraOpThreadsPerReplica) return false;
        if (deployment.IsWhole)
            return Spec.Layout is null && Worker == deployment.Workers[index % deployment.Workers.Length] && Spec.KvBlocks == deployment.KvBlocksPerReplica;
        string[] workers = Spec.Layout?.Workers ?? [Worker];
        return IsWanted(deployment.Stages, Spec.Layout?.Stages ?? 1) && IsWanted(deployment.Ranks, Spec.Layout?.Ranks ?? 1)
            && IsWanted(deployment.KvBlocksPerReplica, Spec.KvBlocks)
            && (deployment.Workers.Length == 0 || workers.All(deployment.Workers.Contains));

        static bool IsWanted(int wanted, int actual) => wanted == 0 || wanted == actual;
    }
}

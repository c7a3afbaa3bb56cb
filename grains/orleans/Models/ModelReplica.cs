using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Orleans.Runtime;

namespace Granary.Grains.Models;

/// <summary>A replica that is wanted: where, how, and its life where it has one.</summary>
/// <param name="share">Whose share it belongs to (<see cref="DeploymentSpec.Offer"/>); null where it is wanted of the cluster as a whole.</param>
/// <param name="index">Its number in the share.</param>
/// <param name="name"><c>model/index</c>, or its key where it is of a share.</param>
internal sealed class ModelReplica(string? share, int index, string name, RetryClock retry)
{
    public string? Share => share;

    public int Index => index;

    public string Name => name;

    public RetryClock Retry => retry;

    /// <summary>Held by whoever loads or ends it: one of them at a time.</summary>
    public SemaphoreSlim Gate { get; } = new(1, 1);

    /// <summary>It is not wanted any more, and nothing brings it back.</summary>
    public bool IsRetired { get; set; }

    /// <summary>Nothing new is to go there, although it lives: it is about to end.</summary>
    public bool IsEnding { get; set; }

    /// <summary>Where it is, or was last tried; null before that.</summary>
    public ReplicaPlacement? Placement { get; private set; }

    /// <summary>Null while it is not loaded.</summary>
    public ReplicaDescriptor? Living { get; private set; }

    /// <summary>A life that takes nothing new and ends by itself, while the next is looked for; null where there is none.</summary>
    public ReplicaLife? Leaving { get; private set; }

    /// <summary>The life of the silo that its life is on; null where that was not known.</summary>
    public SiloAddress? Silo { get; private set; }

    /// <summary>Why it is not there, as far as it is known.</summary>
    public string? Obstacle { get; private set; }

    public void Place(ReplicaPlacement? placement) => Placement = placement;

    public void Loaded(ReplicaDescriptor descriptor, SiloAddress? silo)
    {
        if (Living?.Replica != descriptor.Replica) retry.Loaded();
        (Living, Leaving, Silo, Obstacle) = (descriptor, null, silo, null);
    }

    /// <summary>Its life will end by itself. Where it is does not matter to the next.</summary>
    public void Leave()
    {
        Leaving = Living?.Replica;
        retry.Forget();
        (Placement, Living, Silo, Obstacle) = (null, null, null, "Its life is ending.");
    }

    public void LoadFailed(string why)
    {
        if (Leaving is not null) retry.Forget(); // What it lacks comes free when its last life ends.
        retry.LoadFailed();
        Obstacle = why; // A life it has is not over because its worker did not answer once.
    }

    public void LifeEnded(string why)
    {
        retry.LifeEnded();
        (Living, Silo, Obstacle) = (null, null, why);
    }

    /// <summary>It was ended because it is to be otherwise.</summary>
    public void Unloaded() => (Placement, Living, Silo, Obstacle, IsEnding) = (null, null, null, null, false);

    public MissingReplica ToMissing() => new(name, Obstacle ?? "It is being loaded.", retry.Remaining);
}

/// <summary>Where a replica goes.</summary>
/// <param name="Worker">The worker that loads it: its leader's, where it is cut.</param>
internal sealed record ReplicaPlacement(string Worker, ReplicaSpec Spec)
{
    /// <summary>Name of the worker's silo.</summary>
    public string Silo => GrainKeys.SiloOf(Worker).ToString();

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

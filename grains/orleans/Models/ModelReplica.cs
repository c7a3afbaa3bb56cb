using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;

namespace Granary.Grains.Models;

/// <summary>A replica that is wanted: where, how, and its life where it has one.</summary>
internal sealed class ModelReplica(string worker, ReplicaSpec spec, RetryClock retry)
{
    public string Worker => worker;

    public ReplicaSpec Spec => spec;

    public RetryClock Retry => retry;

    /// <summary>Null while it is not loaded.</summary>
    public ReplicaDescriptor? Living { get; private set; }

    public void Loaded(ReplicaDescriptor descriptor)
    {
        if (Living?.Replica != descriptor.Replica) retry.Loaded();
        Living = descriptor;
    }

    public void LifeEnded()
    {
        Living = null;
        retry.LifeEnded();
    }

    /// <summary>The worker and the spec of the replica with this number.</summary>
    public static (string Worker, ReplicaSpec Spec) Plan(string model, int index, DeploymentSpec deployment)
    {
        var worker = deployment.Workers[index % deployment.Workers.Length];
        return (worker, new ReplicaSpec(
            GrainKeys.Replica(worker, model, index), model, deployment.IntraOpThreadsPerReplica, deployment.KvBlocksPerReplica));
    }
}

using Granary.Engine.Partitioning;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.Options;
using Orleans;

namespace Granary.Grains.Models;

/// <summary>Decides where a replica goes: a whole one to its worker in turn, a partitioned one where the planner finds room in the inventory.</summary>
internal sealed class ReplicaPlanner(IGrainFactory grains, IModelFiles files, IOptions<PartitionOptions> options, IOptions<WorkerOptions> worker)
{
    /// <param name="missing">Replicas of the model that have still to be placed, this one included: they share the memory for KV caches.</param>
    /// <param name="leaving">A life of the replica that ends by itself: another is looked for beside it.</param>
    /// <param name="end">Ends a life of the replica that is not what is wanted any more.</param>
    /// <exception cref="ModelLoadException">It fits nowhere; the message is the planner's arithmetic.</exception>
    public async Task<ReplicaPlacement> PlaceAsync(
        string model, int index, DeploymentSpec deployment, int missing, ReplicaLife? leaving, Func<ReplicaPlacement, Task> end, CancellationToken cancellationToken)
    {
        if (deployment.IsWhole)
        {
            var worker = deployment.Workers[index % deployment.Workers.Length];
            return Place(worker, model, index, deployment, deployment.KvBlocksPerReplica);
        }

        var workers = await grains.GetGrain<IInventoryGrain>(0).GetWorkersAsync(cancellationToken);
        foreach (var living in FindLiving(workers, model, index, leaving))
        {
            // It outlived whoever had planned it: there is nothing better than a replica that serves.
            if (living.Fits(index, deployment)) return living;
            await end(living);
        }

        var shape = await files.FindShapeAsync(model, cancellationToken)
            ?? throw new ModelLoadException($"Model '{model}' cannot be planned here: this silo does not have its files.");
        var result = PartitionPlanner.Plan(shape, Array.ConvertAll(Allowed(workers, deployment), ToInventory), ToRequest(deployment, missing));
        var plan = result.Plan ?? throw new ModelLoadException($"Replica '{model}/{index}' fits nowhere: {result.Refusal}");
        return ToPlacement(plan, model, index, deployment);
    }

    /// <summary>Lives of the model's replicas that nobody wants: they outlived whoever had planned them, and were not found when they were planned anew.</summary>
    /// <param name="wanted">Keys of the replicas that are wanted, wherever they stand.</param>
    public async Task<ReplicaPlacement[]> FindStraysAsync(string model, IReadOnlySet<string> wanted, CancellationToken cancellationToken) =>
    [
        .. from worker in await grains.GetGrain<IInventoryGrain>(0).GetWorkersAsync(cancellationToken)
           from replica in worker.Replicas
           where replica.Spec.Model == model && !wanted.Contains(replica.Spec.ReplicaId)
           select new ReplicaPlacement(worker.Worker, replica.Spec),
    ];

    /// <summary>Lives of the replica wherever they are; the latest first.</summary>
    private static IEnumerable<ReplicaPlacement> FindLiving(WorkerReport[] workers, string model, int index, ReplicaLife? leaving) =>
        from worker in workers
        from replica in worker.Replicas
        where replica.Spec.Model == model && GrainKeys.ReplicaName(replica.Spec.ReplicaId) == $"{model}/{index}" && replica.Descriptor.Replica != leaving
        orderby replica.Descriptor.Replica.Epoch descending
        select new ReplicaPlacement(worker.Worker, replica.Spec);

    /// <remarks>Of this silo's kind of device only: sizes of weights and of KV blocks are the kind's, and a replica has one of each.</remarks>
    private WorkerReport[] Allowed(WorkerReport[] workers, DeploymentSpec deployment) =>
        Array.FindAll(workers, other => other.DeviceKind == worker.Value.Device && (deployment.Workers.Length == 0 || deployment.Workers.Contains(other.Worker)));

    private static WorkerInventory ToInventory(WorkerReport worker) => new()
    {
        Worker = worker.Worker,
        DeviceKind = worker.DeviceKind,
        Silo = worker.Silo,
        Host = worker.Host,
        Zone = worker.Zone,
        FreeBytes = worker.FreeBytes,
        FreeCores = worker.FreeCores,
        FlopsPerSecond = worker.FlopsPerSecond,
        BytesPerSecond = worker.BytesPerSecond,
    };

    private PartitionRequest ToRequest(DeploymentSpec deployment, int missing) => new()
    {
        Stages = deployment.Stages,
        Ranks = deployment.Ranks,
        ThreadsPerShard = deployment.IntraOpThreadsPerReplica,
        KvTokens = (int)Math.Min(int.MaxValue, (long)deployment.KvBlocksPerReplica * options.Value.KvBlockTokens), // The planner refuses what is too much.
        KvBlockTokens = options.Value.KvBlockTokens,
        KvShare = 1.0 / Math.Max(1, missing),
        MaxTokensPerStep = options.Value.MaxTokensPerStep,
        MaxLogitRows = options.Value.MaxLogitRows,
        MaxSequences = options.Value.MaxSequences,
    };

    private ReplicaPlacement ToPlacement(PartitionPlan plan, string model, int index, DeploymentSpec deployment)
    {
        var leader = plan.Shards[0].Worker;
        var blocks = plan.KvTokens / options.Value.KvBlockTokens;
        var whole = Place(leader, model, index, deployment, blocks);
        if (plan.Shards.Count == 1) return whole;
        var layers = Enumerable.Range(0, plan.Stages).Select(stage => plan[new ShardPlace(stage, 0)].Slice.Layers.Count);
        return whole with { Spec = whole.Spec with { Layout = new([.. layers], plan.Ranks, [.. plan.Shards.Select(shard => shard.Worker)]) } };
    }

    private static ReplicaPlacement Place(string worker, string model, int index, DeploymentSpec deployment, int kvBlocks) =>
        new(worker, new ReplicaSpec(GrainKeys.Replica(worker, model, index), model, deployment.IntraOpThreadsPerReplica, kvBlocks));
}

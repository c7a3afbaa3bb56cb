using Granary.Engine;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains.Replicas;
using Microsoft.Extensions.Options;
using Orleans.Runtime;

namespace Granary.Grains.Workers;

/// <summary>This silo's worker: the cores or the device and the memory there are, what they are given to, and what of it others are told.</summary>
internal sealed class LocalWorker(
    EngineHost engines, ShardHost shards, ILocalSiloDetails silo, IDeviceFigures figures,
    IOptions<WorkerOptions> options, IOptions<InventoryOptions> inventory)
{
    /// <summary>Its kind: the name of an execution provider.</summary>
    public string Device => options.Value.Device;

    public string Silo => silo.Name;

    public string Key { get; } = GrainKeys.Worker(silo.Name, options.Value.Device);

    /// <param name="exceptReplica">Not counted: it is what is about to be loaded.</param>
    /// <param name="exceptShard">Likewise; its replica's id and its place.</param>
    public WorkerBudget Measure(string? exceptReplica = null, (string ReplicaId, int Stage, int Rank) exceptShard = default)
    {
        // The engine of a partitioned replica computes nothing itself: its shards have the cores.
        var whole = engines.Replicas.Where(replica => replica.Spec.Layout is null && replica.ReplicaId != exceptReplica).ToList();
        var parts = shards.Shards.Where(shard => (shard.Spec.Replica.ReplicaId, shard.Spec.Stage, shard.Spec.Rank) != exceptShard).ToList();
        var hung = engines.Hung.Left;
        return WorkerBudget.Measure(
            options.Value,
            whole.Sum(replica => replica.Spec.IntraOpThreads) + parts.Sum(shard => shard.Spec.Replica.IntraOpThreads) + hung.Sum(left => left.Spec.IntraOpThreads),
            whole.Sum(replica => replica.Loaded.DeviceBytes) + parts.Sum(shard => shard.Status.MemoryBytes) + hung.Sum(left => left.Loaded.DeviceBytes),
            whole.Sum(replica => UntouchedOf(replica.Engine.Load)) + hung.Sum(left => UntouchedOf(left.Loaded.Engine.Load)));
    }

    private static long UntouchedOf(EngineLoad load) => load.KvHostBytes - load.KvHostBytesTouched;

    /// <exception cref="ModelLoadException">There is no room for the replica.</exception>
    public void Require(ReplicaSpec spec)
    {
        if (spec.Layout is null) Measure(exceptReplica: spec.ReplicaId).Require($"Replica '{spec.ReplicaId}'", spec.IntraOpThreads, spec.KvBlocks, Key);
    }

    /// <summary>After a replica was loaded: its copies may come to take what the process does not use yet.</summary>
    /// <exception cref="ModelLoadException">There is no room for all that it may take.</exception>
    public void RequireKept(ReplicaSpec spec) => Measure().RequireKept($"Replica '{spec.ReplicaId}'", Key);

    /// <exception cref="ModelLoadException">There is no room for the shard, or the device hangs.</exception>
    public void Require(ShardSpec spec)
    {
        var what = $"Shard {spec.Stage}.{spec.Rank} of replica '{spec.Replica.ReplicaId}'";
        engines.Hung.Require(what);
        Measure(exceptShard: (spec.Replica.ReplicaId, spec.Stage, spec.Rank)).Require(what, spec.Replica.IntraOpThreads, spec.Replica.KvBlocks, Key);
    }

    public WorkerReport Describe()
    {
        var budget = Measure();
        var takesMore = !engines.IsDraining && engines.DeviceFailure is null;
        return new WorkerReport
        {
            Worker = Key,
            DeviceKind = Device,
            Silo = Silo,
            Host = inventory.Value.Host,
            Zone = inventory.Value.Zone,
            MemoryBytes = budget.MemoryBytes,
            FreeBytes = takesMore ? budget.FreeBytes : 0,
            Cores = budget.Cores,
            FreeCores = takesMore ? budget.FreeCores : 0,
            FlopsPerSecond = figures.FlopsPerSecond,
            BytesPerSecond = figures.BytesPerSecond,
            Replicas = [.. engines.Replicas.Select(replica => new WorkerReplica(replica.Spec, replica.Descriptor, ReplicaMapping.ToLoad(replica)))],
            Shards = [.. shards.Shards.Select(shard => shard.Status)],
        };
    }
}

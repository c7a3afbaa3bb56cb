using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>Workers that are not CPUs: what they are called, what of their memory is told to be in use, and what is planned for them.</summary>
public sealed class DeviceWorkerTests
{
    [Fact]
    public async Task Worker_OfADevice_IsNamedAndReportedByIt()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1, configure: OnDevice);

        var workers = await cluster.Inventory.GetWorkersAsync();
        var status = await cluster.Grains.GetGrain<IWorkerGrain>("Silo_1/gpu").GetStatusAsync();

        Assert.Equal(["Silo_0/gpu", "Silo_1/gpu"], workers.Select(worker => worker.Worker));
        Assert.All(workers, worker => Assert.Equal("gpu", worker.DeviceKind));
        Assert.Equal("gpu", status.Device);
        var refusal = await Assert.ThrowsAsync<ModelLoadException>(() => cluster.Grains.GetGrain<IWorkerGrain>("Silo_1/cpu").GetStatusAsync());
        Assert.Contains("whose worker is 'Silo_1/gpu'", refusal.Message);
    }

    /// <summary>The process's memory says nothing of the device's: what is in use is what was loaded.</summary>
    [Fact]
    public async Task Worker_WithMemoryOfItsOwn_CountsWhatItLoaded()
    {
        await using var cluster = await ShardingCluster.StartAsync(1, cores: 2, configure: OnDevice);
        cluster.Engines.Add("whole", new ScriptedModel { DeviceBytes = 3 << 20 });
        var before = await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers is [{ FreeCores: 2 }]);

        await cluster.Grains.GetGrain<IModelGrain>("whole").DeployAsync(new(1, ["Silo_0/gpu"], 1, 0));
        var after = await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers is [{ FreeCores: 1 }]);

        Assert.Equal((1L << 40) - new WorkerOptions().MinFreeBytes, before[0].FreeBytes);
        Assert.Equal(3 << 20, before[0].FreeBytes - after[0].FreeBytes);
    }

    [Fact]
    public async Task DeployAsync_CutOverDevices_KeepsTheBlocksAsked()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1, configure: OnDevice);

        var status = await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));

        Assert.Equal("Silo_0/gpu", GrainKeys.WorkerOf(Assert.Single(status.Replicas).Replica.ReplicaId));
        Assert.All(cluster.Shards.Loaded, shard => Assert.Equal(64, shard.Spec.Replica.KvBlocks));
    }

    /// <summary>Sizes of weights and blocks are those of the planning silo's kind of device.</summary>
    [Fact]
    public async Task DeployAsync_WorkersOfOtherKinds_AreNotPlannedFor()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1, configure: (silo, services) =>
        {
            if (silo == "Silo_2") OnDevice(silo, services);
        });
        await cluster.Inventory.GetWorkersAsync();

        await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));

        Assert.Equal(["Silo_0", "Silo_1"], cluster.Shards.Loaded.Select(shard => shard.Silo).Order());
        await Assert.ThrowsAsync<ModelLoadException>(() => cluster.Grains.GetGrain<IModelGrain>("other").DeployAsync(ShardingCluster.Spec(stages: 3)));
    }

    private static void OnDevice(string silo, IServiceCollection services) => services
        .Configure<WorkerOptions>(worker => (worker.Device, worker.HasOwnMemory) = ("gpu", true))
        .Configure<PartitionOptions>(partition => partition.KvBlockTokens = 256);
}

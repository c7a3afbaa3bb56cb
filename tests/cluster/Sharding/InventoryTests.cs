using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Tests.Cluster.Grains;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Runtime;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>Who knows of whose workers, for how long, and where their grains are.</summary>
public sealed class InventoryTests
{
    [Fact]
    public async Task GetWorkersAsync_RightAfterStart_KnowsEverySilo()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 3);

        var workers = await cluster.Inventory.GetWorkersAsync();

        Assert.Equal(["Silo_0/cpu", "Silo_1/cpu", "Silo_2/cpu"], workers.Select(worker => worker.Worker));
        Assert.All(workers, worker => Assert.Equal(("cpu", 3, 3, "here", Environment.MachineName), (worker.DeviceKind, worker.Cores, worker.FreeCores, worker.Zone, worker.Host)));
        Assert.All(workers, worker => Assert.InRange(worker.FreeBytes, 1, worker.MemoryBytes));
    }

    [Fact]
    public async Task Workers_OfAllSilos_AnswerWhoeverAsks()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1);

        // A worker that is placed elsewhere than on its silo refuses.
        foreach (var asking in (string[])["Silo_0", "Silo_2"])
        {
            foreach (var asked in (string[])["Silo_0", "Silo_1", "Silo_2"])
                Assert.Equal("cpu", (await cluster.Of(asking).GetGrain<IWorkerGrain>($"{asked}/cpu").GetStatusAsync()).Device);
        }

        var error = await Assert.ThrowsAsync<SiloUnavailableException>(() => cluster.Grains.GetGrain<IWorkerGrain>("Silo_9/cpu").GetStatusAsync());
        Assert.Contains("'Silo_9'", error.Message);
        Assert.Contains("Silo_0, Silo_1, Silo_2", error.Message);
    }

    [Fact]
    public async Task Workers_HoldAReplicaAndShards_TellWhatTheyGaveAway()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 4);
        await cluster.ModelGrain.DeployAsync(ShardingCluster.Spec(stages: 2));
        var whole = cluster.Grains.GetGrain<GrainInterfaces.Models.IModelGrain>("whole");
        cluster.Engines.Add("whole", new ScriptedModel());
        await whole.DeployAsync(new(1, ["Silo_1/cpu"], 2, 0));

        var workers = await ShardingCluster.UntilAsync(
            () => cluster.Inventory.GetWorkersAsync(), workers => workers is [{ FreeCores: 3 }, { FreeCores: 1 }]);

        Assert.All(workers, worker => Assert.Equal(ShardState.Running, Assert.Single(worker.Shards).State));
        Assert.Equal(["m", "whole"], workers.SelectMany(worker => worker.Replicas).Select(replica => replica.Spec.Model).Order());
        Assert.Equal("engine", workers[0].Shards[0].Links[0].Peer);
    }

    [Fact]
    public async Task Silo_Stops_WithdrawsItsWorker()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1, reportPeriod: TimeSpan.FromSeconds(2));
        await cluster.Inventory.GetWorkersAsync();

        await cluster.StopAsync("Silo_1");

        Assert.Equal(["Silo_0/cpu", "Silo_2/cpu"], (await cluster.Inventory.GetWorkersAsync()).Select(worker => worker.Worker));
    }

    [Fact]
    public async Task Silo_Dies_IsLeftOutBeforeItsLeaseEnds()
    {
        // The lease is longer than the test waits. The inventory may have been on that silo, and may answer once more.
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 1, reportPeriod: GrainsFixture.Patience / 2);
        await cluster.Inventory.GetWorkersAsync();

        await cluster.KillAsync("Silo_1");

        await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers is [{ Worker: "Silo_0/cpu" }, { Worker: "Silo_2/cpu" }]);
    }

    [Fact]
    public async Task Silo_ReportsNoMore_IsLeftOutWhenItsLeaseEnds()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 1, reportPeriod: TimeSpan.FromMilliseconds(50));
        var workers = await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers.Length == 2);
        var reporter = cluster.Silo("Silo_1").ServiceProvider.GetServices<IHostedService>().Single(service => service.GetType().Name == "InventoryReporter");
        await reporter.StopAsync(CancellationToken.None); // It is a member still.

        await cluster.Inventory.ReportAsync("Silo_1", [workers[1]]);
        await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers is [{ Worker: "Silo_0/cpu" }]);
        await reporter.StartAsync(CancellationToken.None);

        Assert.Equal(2, (await ShardingCluster.UntilAsync(() => cluster.Inventory.GetWorkersAsync(), workers => workers.Length == 2)).Length);
    }

    [Fact]
    public async Task ReportAsync_WorkerOfAnotherSilo_IsRefused()
    {
        await using var cluster = await ShardingCluster.StartAsync(1, cores: 1);
        var report = (await cluster.Inventory.GetWorkersAsync())[0];

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => cluster.Inventory.ReportAsync("Silo_7", [report]));

        Assert.Contains("'Silo_7'", error.Message);
    }
}

using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Replicas;
using Orleans.Runtime;

namespace Granary.Tests.Chaos;

#if SIMULATED
/// <summary>The simulated cluster's faults look to callers as genuine ones were measured to.</summary>
[Trait("Category", Chaos.Category)]
public sealed class FaultTests
{
    /// <summary>Nobody listens any more: new calls are refused at once; who was waiting hears of it when the membership does, and only in silos.</summary>
    [SimulatedFact]
    public Task Crash_NewCallsAreRefused_RunningOnesEndWithTheMembership() => Scenario.RunAsync("kill -9 of Silo_1", async (cluster, _) =>
    {
        var key = GrainKeys.Replica("Silo_1/cpu", ChaosCluster.Model, 0);
        var life = (await cluster.Grains.GetGrain<IReplicaGrain>(key).GetLoadAsync()).Epoch;
        var watched = cluster.Silos[0].Grains.GetGrain<IReplicaGrain>(key).WatchAsync(life, long.MaxValue);
        await cluster.DelayAsync(TimeSpan.FromMilliseconds(5));
        cluster.Crash(1);

        await Assert.ThrowsAsync<OrleansMessageRejectionException>(() => cluster.Grains.GetGrain<IReplicaGrain>(key).GetLoadAsync());
        Assert.False(watched.IsCompleted);
        var began = cluster.Time.Now;
        await Assert.ThrowsAsync<SiloUnavailableException>(() => watched);
        Assert.InRange(cluster.Time.Now - began, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1.2)); // Virtual seconds.
    });

    /// <summary>Calls to a frozen silo wait and are answered when it wakes, as long as nobody has declared it dead.</summary>
    [SimulatedFact]
    public Task Freeze_CallsWaitForTheThaw() => Scenario.RunAsync("SIGSTOP of Silo_1", async (cluster, _) =>
    {
        var worker = cluster.Grains.GetGrain<IWorkerGrain>("Silo_1/cpu");
        await worker.GetStatusAsync();
        cluster.Freeze(1);
        var asked = worker.GetStatusAsync();
        await cluster.DelayAsync(TimeSpan.FromSeconds(3));
        Assert.False(asked.IsCompleted);

        cluster.Thaw(1);

        Assert.Equal("cpu", (await asked).Device);
    });

    /// <summary>The way back is cut: the call arrives and its answer does not.</summary>
    [SimulatedFact]
    public Task CutWay_OneDirection_TheOtherIsOpen() => Scenario.RunAsync("the way from Silo_1 to the client is cut", async (cluster, _) =>
    {
        var worker = cluster.Grains.GetGrain<IWorkerGrain>("Silo_1/cpu");
        await worker.GetStatusAsync();
        cluster.CutWay(1, -1);
        await Assert.ThrowsAsync<TimeoutException>(() => worker.GetStatusAsync());
        Assert.Equal("cpu", (await cluster.Silos[0].Grains.GetGrain<IWorkerGrain>("Silo_1/cpu").GetStatusAsync()).Device);
        Assert.True(cluster.Faults.LostMessages > 0);

        cluster.CutWay(1, -1, cut: false);

        Assert.Equal("cpu", (await worker.GetStatusAsync()).Device);
    });

    /// <summary>Two of the others miss it: it is declared dead after the silence that was measured, and ends itself when it wakes.</summary>
    [SimulatedFact]
    public Task Freeze_Long_IsDeclaredDead_AndEndsItselfWhenItWakes() => Scenario.RunAsync("SIGSTOP of Silo_1 for 5 s", async (cluster, _) =>
    {
        cluster.Freeze(1);
        await cluster.DelayAsync(TimeSpan.FromSeconds(4));
        Assert.Equal(4, Active(cluster));
        await cluster.DelayAsync(TimeSpan.FromSeconds(1));
        Assert.Equal(3, Active(cluster));

        cluster.Thaw(1);
        await cluster.HealAsync();

        Assert.Equal(4, Active(cluster));
    });

    private static int Active(ChaosCluster cluster) =>
        ((ISiloStatusOracle)cluster.Silos[0].Services.GetService(typeof(ISiloStatusOracle))!).GetActiveSilos().Length;
}
#endif

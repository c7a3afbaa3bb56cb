using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Granary.Tests.Cluster.Runtime;

public sealed class ClusterTests
{
    private readonly string _key = Guid.NewGuid().ToString("N");

    [Fact]
    public async Task Filter_PlacesWhereTheKeySays_AndPreferLocalStays()
    {
        await using var cluster = RuntimeCluster.Build(3);
        await cluster.DeployAsync();
        foreach (var silo in cluster.Silos)
        {
            Assert.Equal(silo.Name, await cluster.Client.GetGrain<IPlacedGrain>($"{silo.Name}/{_key}").SiloAsync());
            var local = silo.ServiceProvider.GetRequiredService<IGrainFactory>().GetGrain<ILocalGrain>($"{silo.Name}-{_key}");
            Assert.Equal(silo.Name, await local.SiloAsync());
            Assert.Equal(silo.Name, await local.SiloOfAsync($"{silo.Name}-{_key}-other"));
        }
    }

    [Fact]
    public async Task Hint_DecidesAmongCompatibleSilos()
    {
        await using var cluster = RuntimeCluster.Build(3);
        await cluster.DeployAsync();
        foreach (var silo in cluster.Silos)
        {
            RequestContext.Set(IPlacementDirector.PlacementHintKey, silo.SiloAddress);
            var grain = cluster.Client.GetGrain<ILocalGrain>($"{silo.Name}-{_key}");
            var placed = await grain.SiloAsync();
            RequestContext.Clear();
            Assert.Equal(silo.Name, placed);
        }
    }

    [Fact]
    public async Task StopSilo_EndsItsActivations_AndCallsGoElsewhere()
    {
        await using var cluster = RuntimeCluster.Build(2);
        await cluster.DeployAsync();
        var stopped = cluster.Silos[1];
        RequestContext.Set(IPlacementDirector.PlacementHintKey, stopped.SiloAddress);
        var grain = cluster.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var before = await grain.WhereAsync();
        RequestContext.Clear();
        await cluster.StopSiloAsync(stopped);
        Assert.True(Signals.IsSet(_key + "/deactivated/ShuttingDown"));
        Assert.NotEqual(before, await grain.WhereAsync());
    }

    [Fact]
    public async Task KillSilo_BreaksCallsFromOtherSilos_AndTheGrainLivesElsewhere()
    {
        await using var cluster = RuntimeCluster.Build(3);
        await cluster.DeployAsync();
        var victim = cluster.Silos.Single(silo => silo.Name == "Silo_2");
        var caller = cluster.Client.GetGrain<IPlacedGrain>($"Silo_1/{_key}");
        var target = cluster.Client.GetGrain<IPlacedGrain>($"Silo_2/{_key}");
        RequestContext.Set(IPlacementDirector.PlacementHintKey, victim.SiloAddress);
        var probe = cluster.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
        var before = await probe.WhereAsync();
        RequestContext.Clear();
        var call = caller.CallHoldOnAsync(target);
        await Signals.Wait($"Silo_2/{_key}/entered");
        await cluster.KillSiloAsync(victim);
        Assert.Contains(await call.WaitAsync(Signals.Patience), new[] { nameof(SiloUnavailableException), nameof(OrleansMessageRejectionException) });
        Assert.NotEqual(before, await probe.WhereAsync());
        Assert.Equal(2, cluster.Silos.Count);
    }

    [Fact]
    public async Task AdditionalSilo_TakesGrains()
    {
        await using var cluster = RuntimeCluster.Build(1);
        await cluster.DeployAsync();
        var added = await cluster.StartAdditionalSiloAsync();
        var placed = cluster.Client.GetGrain<IPlacedGrain>($"{added.Name}/{_key}");
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        Task<string> silo;
        // What grains a silo takes, the others learn a little after it has joined.
        do await (silo = placed.SiloAsync()).ContinueWith(_ => { }, TaskScheduler.Default);
        while (silo.Exception?.InnerException is OrleansException && !patience.IsCancellationRequested);
        Assert.Equal(added.Name, await silo);
    }

    [Fact]
    public async Task Scope_LivesAsLongAsTheActivation()
    {
        await using var cluster = RuntimeCluster.Build(1);
        await cluster.DeployAsync();
        var counter = cluster.GetSiloServiceProvider().GetRequiredService<ScopeCounter>();
        for (var i = 0; i < 3; i++)
        {
            await cluster.Client.GetGrain<IScopedGrain>(i).EndAsync();
            await Signals.Wait("scoped-ended/" + i);
        }

        Assert.Equal(3, counter.Made);
        // Stopping the silo waits for the scopes.
        await cluster.StopSiloAsync(cluster.Silos[0]);
        Assert.Equal(3, counter.Disposed);
    }

    [Fact]
    public async Task StatelessWorkers_ServeCallsBesideEachOther()
    {
        await using var cluster = RuntimeCluster.Build(1);
        await cluster.DeployAsync();
        var pool = cluster.Client.GetGrain<IPoolGrain>(0);
        Task[] calls = [pool.HoldAsync(_key), pool.HoldAsync(_key), pool.HoldAsync(_key)];
        while (Signals.CountOf(_key + "/holding") < 2) await Task.Yield();
        Signals.Set(_key + "/go");
        await Task.WhenAll(calls);
        Assert.Equal(3, Signals.CountOf(_key + "/holding"));
    }

    [Fact]
    public async Task IdleActivation_IsCollected_AndKeptOneIsNot()
    {
        await using var cluster = RuntimeCluster.Build(1, silo => silo.Configure<GrainCollectionOptions>(options =>
        {
            options.CollectionQuantum = TimeSpan.FromMilliseconds(100);
            options.CollectionAge = TimeSpan.FromMilliseconds(200);
        }));
        await cluster.DeployAsync();
        var kept = cluster.Client.GetGrain<IKeptGrain>(_key + "-kept");
        var life = await kept.LifeAsync();
        await cluster.Client.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName).WhereAsync();
        await Signals.Wait(_key + "/deactivated/ActivationIdle");
        Assert.Equal(life, await kept.LifeAsync());
    }
}

public interface IKeptGrain : IProbeGrain
{
}

[KeepAlive]
public sealed class KeptGrain : ProbeGrainBase, IKeptGrain
{
}

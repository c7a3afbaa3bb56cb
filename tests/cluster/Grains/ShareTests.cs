using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Tests.Cluster.Sharding;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Whole replicas that each silo offers of itself: they add up, and go and come with their silos.</summary>
public sealed class ShareTests
{
    [Fact]
    public async Task DeployAsync_EachSiloItsShare_AllLiveUntilTheirSiloLeaves()
    {
        await using var cluster = await ShardingCluster.StartAsync(3, cores: 2);
        await Task.WhenAll(Enumerable.Range(0, 3).Select(index => OfferAsync(cluster, $"Silo_{index}")));
        var router = cluster.Grains.GetGrain<IRouterGrain>(GrainKeys.Router("Silo_0", ShardingCluster.Model));
        await RoutedAsync(router, "Silo_0", "Silo_1", "Silo_2");

        await cluster.StopAsync("Silo_2");
        var status = await ShardingCluster.UntilAsync(() => cluster.ModelGrain.GetStatusAsync(), status => status.WantedReplicas == 2);
        Assert.Equal(["Silo_0", "Silo_1"], status.Offers);
        Assert.Empty(status.Missing);
        await RoutedAsync(router, "Silo_0", "Silo_1");

        var back = await cluster.StartSiloAsync();
        await OfferAsync(cluster, back.Name);
        await RoutedAsync(router, "Silo_0", "Silo_1", back.Name);
        Assert.Equal(4, cluster.Engines.LoadsOf($"{ShardingCluster.Model}/0")); // Nobody was loaded twice.
    }

    [Fact]
    public async Task DeployAsync_SmallerShare_EndsOnlyItsOwn()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 2);
        await OfferAsync(cluster, "Silo_0", replicas: 2);
        await OfferAsync(cluster, "Silo_1", replicas: 2);

        await OfferAsync(cluster, "Silo_1", replicas: 1);
        var withdrawn = await OfferAsync(cluster, "Silo_0", replicas: 0);

        Assert.Equal(["Silo_1"], withdrawn.Offers);
        Assert.Equal([GrainKeys.Replica("Silo_1/cpu", ShardingCluster.Model, 0)], withdrawn.Replicas.Select(replica => replica.Replica.ReplicaId));
    }

    [Fact]
    public async Task DeployAsync_WithoutOffer_ReplacesAllShares()
    {
        await using var cluster = await ShardingCluster.StartAsync(2, cores: 2);
        await OfferAsync(cluster, "Silo_0");
        await OfferAsync(cluster, "Silo_1");

        var status = await cluster.ModelGrain.DeployAsync(new(1, ["Silo_1/cpu"], 2, 0));

        Assert.Empty(status.Offers);
        Assert.Equal((1, "Silo_1"), (status.WantedReplicas, SiloOf(Assert.Single(status.Replicas).Replica)));
    }

    [Theory]
    [InlineData("Silo_9", 1, "no silo of that name is active")]
    [InlineData("Silo_0", 2, "a share has whole replicas")]
    [InlineData("", 1, "it must have 1 to 256")]
    public async Task DeployAsync_OfferThatCannotBe_IsRefused(string offer, int stages, string message)
    {
        await using var cluster = await ShardingCluster.StartAsync(1, cores: 2);

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => cluster.ModelGrain.DeployAsync(Share("Silo_0") with { Offer = offer, Stages = stages }));

        Assert.Equal("offer", error.Parameter);
        Assert.Contains(message, error.Message);
        Assert.Equal(0, (await cluster.ModelGrain.GetStatusAsync()).WantedReplicas);
    }

    [Fact]
    public async Task ControlPlane_IsLost_RoutersKeepShares_WhichAreOfferedAgainWithoutLoading()
    {
        await using var cluster = await ShardingCluster.StartAsync(
            3, cores: 2, configure: (_, services) => services.Configure<ModelGrainOptions>(model => model.RecoveryTime = TimeSpan.FromMinutes(10)));
        // The first to ask has the control plane.
        for (var index = 2; index >= 0; index--) await OfferAsync(cluster, $"Silo_{index}");
        var router = cluster.Grains.GetGrain<IRouterGrain>(GrainKeys.Router("Silo_0", ShardingCluster.Model));
        await RoutedAsync(router, "Silo_0", "Silo_1", "Silo_2");

        await cluster.KillAsync("Silo_2");
        await ShardingCluster.UntilAsync(() => OfferAsync(cluster, "Silo_0"), status => status.Offers.Length == 1);
        // Of Silo_1 the new control plane has not heard yet.
        await RoutedAsync(router, "Silo_0", "Silo_1");
        await ShardingCluster.UntilAsync(() => OfferAsync(cluster, "Silo_1"), status => status.Offers.Length == 2);

        await RoutedAsync(router, "Silo_0", "Silo_1");
        Assert.Equal(3, cluster.Engines.LoadsOf($"{ShardingCluster.Model}/0"));
    }

    private static DeploymentSpec Share(string silo, int replicas = 1) => new(replicas, [$"{silo}/cpu"], 1, 0) { Offer = silo };

    private static Task<ModelStatus> OfferAsync(ShardingCluster cluster, string silo, int replicas = 1) =>
        cluster.Of(silo).GetGrain<IModelGrain>(ShardingCluster.Model).DeployAsync(Share(silo, replicas));

    private static Task<RouterSnapshot> RoutedAsync(IRouterGrain router, params string[] silos) => ShardingCluster.UntilAsync(
        () => router.GetSnapshotAsync(), snapshot => snapshot.Replicas.Where(replica => replica.IsReachable).Select(replica => SiloOf(replica.Replica)).Order(StringComparer.Ordinal).SequenceEqual(silos));

    private static string SiloOf(ReplicaLife life) => GrainKeys.SiloOf(life.ReplicaId).ToString();
}

using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Granary.Grains;
using Granary.Grains.Sessions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Orleans.Hosting;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Stored responses: kept once, bounded, and ended.</summary>
public sealed class StoredResponseTests
{
    [Fact]
    public async Task Stored_IsFoundAsItWas_UntilDeleted()
    {
        await using var cluster = await StartAsync(_ => { });
        var grain = cluster.Client.GetGrain<IStoredResponseGrain>("resp_1");

        Assert.Null(await grain.GetAsync());
        await grain.StoreAsync(new StoredResponse([1, 2], [3]));

        var found = await grain.GetAsync();
        Assert.Equal([1, 2], found!.Body);
        Assert.Equal([3], found.Input);
        Assert.True(await grain.DeleteAsync());
        Assert.False(await grain.DeleteAsync());
        Assert.Null(await grain.GetAsync());
    }

    [Fact]
    public async Task StoringAgain_IsRefused_AndChangesNothing()
    {
        await using var cluster = await StartAsync(_ => { });
        var grain = cluster.Client.GetGrain<IStoredResponseGrain>("resp_1");
        await grain.StoreAsync(new StoredResponse([1], []));

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => grain.StoreAsync(new StoredResponse([2], [])));

        Assert.Contains("resp_1", error.Message);
        Assert.Equal([1], (await grain.GetAsync())!.Body);
    }

    [Fact]
    public async Task TooLargeAConversation_IsRefusedByItsBound()
    {
        await using var cluster = await StartAsync(options => options.MaxConversationBytes = 1024);
        var grain = cluster.Client.GetGrain<IStoredResponseGrain>("resp_1");

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => grain.StoreAsync(new StoredResponse([], new byte[1025])));

        Assert.Equal("input", error.Parameter);
        Assert.Contains("1025", error.Message);
        Assert.Contains("1024", error.Message);
        await grain.StoreAsync(new StoredResponse([], new byte[1024]));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1 << 20)]
    public async Task Expired_IsNotFound_AndCanBeStoredNoMore(long memory)
    {
        await using var cluster = await StartAsync(options => (options.Lifetime, options.MemoryBytes) = (TimeSpan.FromMilliseconds(1), memory));
        var grain = cluster.Client.GetGrain<IStoredResponseGrain>("resp_1");

        await grain.StoreAsync(new StoredResponse([1], [2]));
        // One of them is the first after the end, whose coming nothing tells.
        while (await grain.GetAsync() is not null) await Task.Yield();

        Assert.Null(await grain.GetAsync());
        Assert.False(await grain.DeleteAsync());
        Assert.Equal((0, 0), Memory(cluster).Held);
    }

    [Fact]
    public async Task BeyondItsMemory_TheOldestGo()
    {
        const int Size = 10_000;
        await using var cluster = await StartAsync(options => options.MemoryBytes = 3 * (Size + HeldMemory.BytesOfAnActivation));
        for (var i = 0; i < 5; i++) await cluster.Client.GetGrain<IStoredResponseGrain>($"resp_{i}").StoreAsync(new StoredResponse(new byte[Size / 2], new byte[Size / 2]));

        var there = new List<bool>();
        for (var i = 0; i < 5; i++) there.Add(await cluster.Client.GetGrain<IStoredResponseGrain>($"resp_{i}").GetAsync() is not null);

        Assert.Equal([false, false, true, true, true], there);
        Assert.Equal((3, 3L * (Size + HeldMemory.BytesOfAnActivation)), Memory(cluster).Held);
    }

    [Fact]
    public void Memory_CountsEachOnce_AndNeverDropsTheNewest()
    {
        var memory = new StoredResponseMemory(Options.Create(new StoredResponseOptions { MemoryBytes = 20_000 }));

        Assert.Empty(memory.Add("a", 1000));
        Assert.Empty(memory.Add("a", 1000));
        Assert.Equal((1, 1000L + HeldMemory.BytesOfAnActivation), memory.Held);
        Assert.Equal(["a"], memory.Add("b", 50_000));
        Assert.Equal(["b"], memory.Add("c", 50_000));
        memory.Remove("a");
        memory.Remove("c");

        Assert.Equal((0, 0L), memory.Held);
    }

    private static StoredResponseMemory Memory(InProcessTestCluster cluster) => cluster.GetSiloServiceProvider().GetRequiredService<StoredResponseMemory>();

    private static async Task<InProcessTestCluster> StartAsync(Action<StoredResponseOptions> configure)
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.AddMemoryGrainStorageAsDefault();
            silo.Services.AddSingleton<IReplicaFactory>(new ScriptedReplicaFactory());
            silo.Services.AddGranaryGrains();
            silo.Services.Configure(configure);
        });
        var cluster = builder.Build();
        await cluster.DeployAsync();
        return cluster;
    }
}

using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;
using Granary.Grains;
using Granary.Grains.Streams;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Journals of streams: kept away from their gateway, fenced, bounded, and ended.</summary>
public sealed class StreamTests
{
    private const string Gateway = "elsewhere";

    private static readonly byte[] Owner = [1, 2, 3];

    private readonly ManualTime _time = new();

    [Fact]
    public async Task Append_IsKeptInOrder_AndWhatComesTwiceOnce()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");

        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, Head(), [])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 0, 5, 6), Tokens(1, 0, 7)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6, 8)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6, 8) with { FinishReason = FinishReason.Stop }])));
        var journal = await grain.TakeOverAsync(Owner, Gateway);

        Assert.Equal(2, journal!.Takeover);
        Assert.Equal([5, 6, 8], journal.Choices[0].TokenIds);
        Assert.Equal(FinishReason.Stop, journal.Choices[0].FinishReason);
        Assert.Equal(1, journal.Choices[1].Choice);
        Assert.Equal([7], journal.Choices[1].TokenIds);
        Assert.Equal([9, 9], journal.Head.Body);
    }

    [Fact]
    public async Task Append_WithAGapOrWithoutItsHead_IsToldToBeginAgain()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");

        Assert.Equal(StreamAppend.Unknown, await grain.AppendAsync(new(1, null, [Tokens(0, 0, 5)])));
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        Assert.Equal(StreamAppend.Unknown, await grain.AppendAsync(new(1, null, [Tokens(0, 2, 5)])));

        var journal = await grain.TakeOverAsync(Owner, Gateway);
        Assert.Equal([5], journal!.Choices[0].TokenIds);
    }

    [Fact]
    public async Task TakenOver_TheGatewayBeforeIsRefused_AndALostJournalGoesToTheLatest()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        await grain.TakeOverAsync(Owner, Gateway);

        Assert.Equal(StreamAppend.TakenOver, await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(2, null, [Tokens(0, 1, 7)])));
        await grain.ForgetAsync();
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5, 6)])));
        Assert.Equal(StreamAppend.Unknown, await grain.AppendAsync(new(2, null, [Tokens(0, 2, 8)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(2, Head(), [Tokens(0, 0, 5, 7, 8)])));
        Assert.Equal(StreamAppend.TakenOver, await grain.AppendAsync(new(1, null, [Tokens(0, 2, 9)])));

        var journal = await grain.TakeOverAsync(Owner, Gateway);
        Assert.Equal([5, 7, 8], journal!.Choices[0].TokenIds);
    }

    [Fact]
    public async Task TakeOver_ByAnother_FindsNothingAndTakesNothing()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), []));

        Assert.Null(await grain.TakeOverAsync([1, 2, 4], Gateway));
        Assert.Null(await grain.TakeOverAsync([], Gateway));
        Assert.Null(await Grain(cluster, "none").TakeOverAsync(Owner, Gateway));

        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 0, 5)])));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Retention_CountsFromTheLastWrite(bool stored)
    {
        await using var cluster = await StartAsync(options => (options.Retention, options.IsStored) = (TimeSpan.FromSeconds(10), stored));
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), []));
        _time.Advance(TimeSpan.FromSeconds(9));
        await grain.AppendAsync(new(1, null, [Tokens(0, 0, 5)]));
        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.NotNull(await grain.TakeOverAsync(Owner, Gateway));

        _time.Advance(TimeSpan.FromSeconds(11));

        Assert.Null(await grain.TakeOverAsync(Owner, Gateway));
        Assert.Equal((0, 0), Memory(cluster).Held);
    }

    [Fact]
    public async Task BeyondItsBytes_WhatIsThereStays()
    {
        await using var cluster = await StartAsync(options => options.MaxBytes = 1024);
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));

        Assert.Equal(StreamAppend.Full, await grain.AppendAsync(new(1, null, [Tokens(0, 1, new int[300])])));

        var journal = await grain.TakeOverAsync(Owner, Gateway);
        Assert.Equal([5], journal!.Choices[0].TokenIds);
    }

    [Fact]
    public async Task BeyondTheSilosMemory_TheLeastRecentlyWrittenGo()
    {
        await using var cluster = await StartAsync(options => options.MemoryBytes = 1 << 16);
        const int Fit = (1 << 16) / (StreamMemory.BytesOfAnActivation + 2);
        for (var i = 0; i < Fit; i++) await Grain(cluster, $"s{i}").AppendAsync(new(1, Head(), []));
        await Grain(cluster, "s0").AppendAsync(new(1, null, [Tokens(0, 0, 5)]));

        await Grain(cluster, "one-more").AppendAsync(new(1, Head(), []));

        Assert.Equal(Fit, Memory(cluster).Held.Grains);
        Assert.NotNull(await Grain(cluster, "s0").TakeOverAsync(Owner, Gateway));
        Assert.NotNull(await Grain(cluster, "one-more").TakeOverAsync(Owner, Gateway));
    }

    /// <summary>Whoever calls first, the journal is somewhere else.</summary>
    [Fact]
    public async Task Placement_IsAwayFromTheCaller_AndSpread()
    {
        var builder = new InProcessTestClusterBuilder(3);
        builder.ConfigureSilo((_, silo) => Configure(silo, _ => { }));
        await using var cluster = builder.Build();
        await cluster.DeployAsync();
        var silos = cluster.Silos.Select(silo => cluster.GetSiloServiceProvider(silo.SiloAddress)).ToArray();
        var grains = silos[0].GetRequiredService<IGrainFactory>();

        for (var i = 0; i < 40; i++) await grains.GetGrain<IStreamGrain>($"s{i}").AppendAsync(new(1, Head(), []));
        var held = silos.Select(silo => silo.GetRequiredService<StreamMemory>().Held.Grains).ToArray();

        Assert.Equal(0, held[0]);
        Assert.Equal(40, held[1] + held[2]);
        Assert.All(held[1..], streams => Assert.InRange(streams, 5, 35));
    }

    /// <summary>The gateway on the silo of the journal is told so: one loss would take both.</summary>
    [Fact]
    public async Task TakeOver_TellsWhetherTheGatewayIsWhereTheJournalIs()
    {
        var builder = new InProcessTestClusterBuilder(2);
        builder.ConfigureSilo((_, silo) => Configure(silo, _ => { }));
        await using var cluster = builder.Build();
        await cluster.DeployAsync();
        var silos = cluster.Silos.Select(silo => cluster.GetSiloServiceProvider(silo.SiloAddress)).ToArray();
        var grain = silos[0].GetRequiredService<IGrainFactory>().GetGrain<IStreamGrain>("s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));

        var (before, after) = ((await grain.TakeOverAsync(Owner, NameOf(silos[0])))!, (await grain.TakeOverAsync(Owner, NameOf(silos[1])))!);
        Assert.Equal((false, false), (before.IsWithGateway, before.HasOther));
        Assert.Equal((true, false), (after.IsWithGateway, after.HasOther));
        Assert.True((await grain.TakeOverAsync(Owner, NameOf(silos[0])))!.HasOther);
        var misplaced = silos[0].GetRequiredService<IGrainFactory>().GetGrain<IStreamGrain>("t");
        Assert.Equal(StreamAppend.Misplaced, await misplaced.AppendAsync(new(1, Head(), []) { Gateway = NameOf(silos[1]) }));
        Assert.Equal(StreamAppend.Kept, await misplaced.AppendAsync(new(1, Head(), [])));
        await using var alone = await StartAsync();
        await Grain(alone, "s").AppendAsync(new(1, Head(), []));
        Assert.False((await Grain(alone, "s").TakeOverAsync(Owner, NameOf(alone.GetSiloServiceProvider())))!.IsWithGateway);

        static string NameOf(IServiceProvider silo) => silo.GetRequiredService<ILocalSiloDetails>().Name;
    }

    private static StreamHead Head() => new()
    {
        Endpoint = "/v1/completions",
        Body = [9, 9],
        Owner = Owner,
        Created = ManualTime.Start,
        Deadline = ManualTime.Start,
        Seed = 1,
        Fingerprint = "f",
    };

    private static StreamTokens Tokens(int choice, int from, params int[] ids) => new() { Choice = choice, From = from, TokenIds = ids };

    private static IStreamGrain Grain(InProcessTestCluster cluster, string id) => cluster.Client.GetGrain<IStreamGrain>(id);

    private static StreamMemory Memory(InProcessTestCluster cluster) => cluster.GetSiloServiceProvider().GetRequiredService<StreamMemory>();

    private async Task<InProcessTestCluster> StartAsync(Action<StreamJournalOptions>? configure = null)
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) => Configure(silo, configure ?? (_ => { })));
        var cluster = builder.Build();
        await cluster.DeployAsync();
        return cluster;
    }

    private void Configure(ISiloBuilder silo, Action<StreamJournalOptions> configure)
    {
        silo.AddMemoryGrainStorageAsDefault();
        silo.Services.AddSingleton<TimeProvider>(_time);
        silo.Services.AddSingleton<IReplicaFactory>(new ScriptedReplicaFactory());
        silo.Services.AddGranaryGrains();
        silo.Services.Configure(configure);
    }
}

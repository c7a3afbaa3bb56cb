using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Streams;
using Granary.Grains;
using Granary.Grains.Streams;
using Granary.Tests.Cluster.Sessions;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;
using Orleans.Storage;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Journals of streams: kept away from their gateway, fenced, bounded, and ended.</summary>
public sealed class StreamTests
{
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
        var journal = await grain.TakeOverAsync(Owner);

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

        var journal = await grain.TakeOverAsync(Owner);
        Assert.Equal([5], journal!.Choices[0].TokenIds);
    }

    [Fact]
    public async Task TakenOver_TheGatewayBeforeIsRefused_AndALostJournalGoesToTheLatest()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        await grain.TakeOverAsync(Owner);

        Assert.Equal(StreamAppend.TakenOver, await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(2, null, [Tokens(0, 1, 7)])));
        await grain.ForgetAsync();
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5, 6)])));
        Assert.Equal(StreamAppend.Unknown, await grain.AppendAsync(new(2, null, [Tokens(0, 2, 8)])));
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(2, Head(), [Tokens(0, 0, 5, 7, 8)])));
        Assert.Equal(StreamAppend.TakenOver, await grain.AppendAsync(new(1, null, [Tokens(0, 2, 9)])));

        var journal = await grain.TakeOverAsync(Owner);
        Assert.Equal([5, 7, 8], journal!.Choices[0].TokenIds);
    }

    [Fact]
    public async Task TakeOver_ByAnother_FindsNothingAndTakesNothing()
    {
        await using var cluster = await StartAsync();
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), []));

        Assert.Null(await grain.TakeOverAsync([1, 2, 4]));
        Assert.Null(await grain.TakeOverAsync([]));
        Assert.Null(await Grain(cluster, "none").TakeOverAsync(Owner));

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
        Assert.NotNull(await grain.TakeOverAsync(Owner));

        _time.Advance(TimeSpan.FromSeconds(11));

        Assert.Null(await grain.TakeOverAsync(Owner));
        Assert.Equal((0, 0), Memory(cluster).Held);
    }

    /// <summary>A stream whose tokens take their time keeps its journal, and writes it no more often than it has to.</summary>
    [Fact]
    public async Task SignsOfLife_KeepTheJournal_AndAreFenced()
    {
        await using var cluster = await StartAsync(options => options.Retention = TimeSpan.FromSeconds(10));
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), []));
        for (var i = 0; i < 10; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(3));
            Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [])));
        }

        Assert.NotNull(await grain.TakeOverAsync(Owner));
        Assert.Equal(StreamAppend.TakenOver, await grain.AppendAsync(new(1, null, [])));
    }

    [Fact]
    public async Task BeyondItsBytes_WhatIsThereStays()
    {
        await using var cluster = await StartAsync(options => options.MaxBytes = 1024);
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));

        Assert.Equal(StreamAppend.Full, await grain.AppendAsync(new(1, null, [Tokens(0, 1, new int[300])])));

        var journal = await grain.TakeOverAsync(Owner);
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
        Assert.NotNull(await Grain(cluster, "s0").TakeOverAsync(Owner));
        Assert.NotNull(await Grain(cluster, "one-more").TakeOverAsync(Owner));
    }

    [Fact]
    public async Task Stored_JournalAndGatewayAreLostTogether_TheNextGoesOnFromTheStorage()
    {
        var records = new ScriptedStorage.Records();
        await using var cluster = await StartStoredAsync(records, silos: 3);
        var silos = cluster.Silos.ToArray();
        var grain = GrainsOf(cluster, silos[0]).GetGrain<IStreamGrain>("s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6, 7)]));
        var holder = silos.Single(silo => cluster.GetSiloServiceProvider(silo.SiloAddress).GetRequiredService<StreamMemory>().Held.Grains == 1);
        var last = silos.Single(silo => silo != silos[0] && silo != holder);

        await cluster.KillSiloAsync(silos[0]);
        await cluster.KillSiloAsync(holder);

        var found = GrainsOf(cluster, last).GetGrain<IStreamGrain>("s");
        var journal = await GrainsFixture.UntilAsync(() => TryTakeOverAsync(found), journal => journal is not null);
        Assert.Equal([5, 6, 7], journal!.Choices[0].TokenIds);
        Assert.Equal([9, 9], journal.Head.Body);
        Assert.Equal(StreamAppend.TakenOver, await found.AppendAsync(new(1, null, [Tokens(0, 3, 8)])));
        Assert.Equal(StreamAppend.Kept, await found.AppendAsync(new(journal.Takeover, null, [Tokens(0, 3, 8)])));
    }

    [Fact]
    public async Task Stored_StorageFails_TheJournalGoesOnInMemory_AndTheNextBatchWritesAll()
    {
        var records = new ScriptedStorage.Records { NextWrite = ScriptedStorage.Outcome.Fails };
        await using var cluster = await StartStoredAsync(records);
        var grain = Grain(cluster, "s");

        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)])));
        Assert.Empty(records.Stored);
        records.NextWrite = ScriptedStorage.Outcome.Succeeds;
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6)])));

        Assert.Equal(2, records.Stored.Count); // The head, and the tokens.
        var journal = await grain.TakeOverAsync(Owner);
        Assert.Equal([5, 6], journal!.Choices[0].TokenIds);
    }

    /// <summary>A writing that was given up and came through after all: the next activation begins with it.</summary>
    [Fact]
    public async Task Stored_TheWritingBeforeCameThroughUnseen_GoesOnFromIt()
    {
        var records = new ScriptedStorage.Records();
        await using var cluster = await StartStoredAsync(records);
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        records.NextWrite = ScriptedStorage.Outcome.IsDoneAndFails;
        await grain.AppendAsync(new(1, null, [Tokens(0, 1, 6)]));

        await Assert.ThrowsAnyAsync<OrleansException>(() => grain.AppendAsync(new(1, null, [Tokens(0, 2, 7)])));

        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(1, null, [Tokens(0, 2, 7)])));
        var journal = await grain.TakeOverAsync(Owner);
        Assert.Equal([5, 6, 7], journal!.Choices[0].TokenIds);
    }

    /// <summary>What is in memory is whole: it is written anew, and no caller hears of it.</summary>
    [Fact]
    public async Task Stored_TheStorageLosesEverything_TheJournalIsWrittenAgain()
    {
        var records = new ScriptedStorage.Records();
        await using var cluster = await StartStoredAsync(records);
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), [Tokens(0, 0, 5)]));
        records.Stored.Clear();

        var journal = await grain.TakeOverAsync(Owner);

        Assert.Equal([5], journal!.Choices[0].TokenIds);
        Assert.Equal(2, records.Stored.Count);
        records.Stored.Clear();
        Assert.Equal(StreamAppend.Kept, await grain.AppendAsync(new(journal.Takeover, null, [Tokens(0, 1, 6)])));
        Assert.Equal(2, records.Stored.Count);
    }

    [Fact]
    public async Task Stored_HeadIsWrittenOnce_AndNothingIsLeftInTheEnd()
    {
        var records = new ScriptedStorage.Records();
        await using var cluster = await StartStoredAsync(records);
        var grain = Grain(cluster, "s");
        await grain.AppendAsync(new(1, Head(), []));
        for (var i = 0; i < 5; i++) await grain.AppendAsync(new(1, null, [Tokens(0, i, i)]));
        await grain.AppendAsync(new(1, null, []));
        Assert.Equal(1 + 6, records.Writes); // None for a sign of life.

        await grain.ForgetAsync();

        Assert.Empty(records.Stored);
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

    /// <summary>Silos over a storage that outlives them.</summary>
    private static async Task<InProcessTestCluster> StartStoredAsync(ScriptedStorage.Records records, short silos = 1)
    {
        var builder = new InProcessTestClusterBuilder(silos);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.Services.AddGrainStorage("Default", (services, _) =>
                new ScriptedStorage(new OrleansGrainStorageSerializer(services.GetRequiredService<Serializer>()), records));
            silo.Services.AddSingleton<IReplicaFactory>(new ScriptedReplicaFactory());
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<StreamJournalOptions>(options => options.IsStored = true);
        });
        var cluster = builder.Build();
        await cluster.DeployAsync();
        return cluster;
    }

    private static IGrainFactory GrainsOf(InProcessTestCluster cluster, InProcessSiloHandle silo) =>
        cluster.GetSiloServiceProvider(silo.SiloAddress).GetRequiredService<IGrainFactory>();

    /// <returns>Null while the loss is not known everywhere.</returns>
    private static async Task<StreamJournal?> TryTakeOverAsync(IStreamGrain grain)
    {
        try
        {
            return await grain.TakeOverAsync(Owner);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            return null;
        }
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

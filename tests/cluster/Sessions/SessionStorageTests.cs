using Granary.GrainInterfaces.Errors;
using Granary.Grains.Sessions;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using Orleans.Serialization;
using Orleans.Storage;
using static Granary.Tests.Cluster.Sessions.SessionCluster;

namespace Granary.Tests.Cluster.Sessions;

/// <summary>What a session does when its storage fails, was written by somebody else, or holds another form.</summary>
public sealed class SessionStorageTests
{
    [Fact]
    public async Task CommitTurn_StorageFails_IsTold_AndTheNextTurnWritesAll()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a"));

        cluster.Storage.NextWrite = ScriptedStorage.Outcome.Fails;
        await Assert.ThrowsAnyAsync<OrleansException>(() => session.CommitTurnAsync(Turn("b", tokens: 8)));
        Assert.Equal((2, 8), ((await session.GetAsync())!.Turns, (await session.GetAsync())!.HistoryTokens));

        cluster.Storage.NextWrite = ScriptedStorage.Outcome.Succeeds;
        Assert.Equal(3, (await session.CommitTurnAsync(Turn("c"))).Turns);
    }

    /// <summary>A writing that was given up and came through after all is somebody else's to the next one.</summary>
    [Fact]
    public async Task CommitTurn_TheWritingBeforeCameThroughUnseen_GoesOnFromIt()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a"));

        cluster.Storage.NextWrite = ScriptedStorage.Outcome.IsDoneAndFails;
        await Assert.ThrowsAnyAsync<OrleansException>(() => session.CommitTurnAsync(Turn("b")));

        var told = await session.CommitTurnAsync(Turn("c", tokens: 9));
        Assert.Equal((3, 9, "c"), (told.Turns, told.HistoryTokens, told.LastTurnId));
    }

    [Fact]
    public async Task Close_TheRecordIsAnothers_ClosesThat()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a"));
        cluster.Storage.NextWrite = ScriptedStorage.Outcome.IsDoneAndFails;
        await Assert.ThrowsAnyAsync<OrleansException>(() => session.CommitTurnAsync(Turn("b")));

        Assert.True(await session.CloseAsync());
        Assert.Null(await session.GetAsync());
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(SessionState.CurrentFormat, true)]
    [InlineData(SessionState.CurrentFormat + 1, false)]
    public async Task StoredInAFormat_OlderIsRead_NewerIsRefusedAndNotOverwritten(int format, bool isRead)
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a", tokens: 5));
        var ((name, grain), record) = cluster.Storage.Stored.Single();
        var serializer = new OrleansGrainStorageSerializer(cluster.Orleans.GetSiloServiceProvider().GetRequiredService<Serializer>());
        var state = serializer.Deserialize<SessionState>(new BinaryData(record.State));
        state.Format = format;
        var other = (name, GrainId.Create(grain.Type, IdSpan.Create("tenant/other")));
        var stored = (serializer.Serialize(state).ToArray(), "tag");
        cluster.Storage.Stored[other] = stored;

        if (isRead)
        {
            Assert.Equal(5, (await cluster.Session("other").GetAsync())!.HistoryTokens);
            return;
        }

        var error = await Assert.ThrowsAnyAsync<Exception>(() => cluster.Session("other").CommitTurnAsync(Turn("b")));
        Assert.Contains($"format {format}", error.ToString());
        Assert.Equal(stored, cluster.Storage.Stored[other]);
        Assert.True(error is SessionFormatException or OrleansException, error.GetType().Name);
    }
}

using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Granary.Grains.Sessions;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using static Granary.Tests.Cluster.Sessions.SessionCluster;

namespace Granary.Tests.Cluster.Sessions;

/// <summary>What a session knows of its turns, and when it ends.</summary>
public sealed class SessionGrainTests
{
    [Fact]
    public async Task CommitTurn_OfANewSession_IsWhatItTellsAfterwards()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();

        Assert.Null(await session.GetAsync());
        var start = await session.BeginTurnAsync();
        Assert.Equal((0L, null, true), (start.Fence, start.Owner, start.IsBehindLast));
        await session.CommitTurnAsync(Turn("a", tokens: 5, start.Fence));

        var told = (await session.GetAsync())!;
        Assert.Equal(("model", 1, 5, "a", Owner), (told.Model, told.Turns, told.HistoryTokens, told.LastTurnId, told.Owner!.Value));
        Assert.Equal((told.CreatedAt, told.UsedAt + TimeSpan.FromHours(1)), (told.UsedAt, told.ExpiresAt));
        Assert.Equal((1L, null), (told.Version, told.ForkedFrom));
        Assert.Equal(Owner, (await session.BeginTurnAsync()).Owner);
    }

    [Fact]
    public async Task CommitTurn_EachTurn_WritesOnce()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();

        for (var turn = 1; turn <= 3; turn++)
        {
            await session.CommitTurnAsync(Turn($"{turn}", fence: (await session.BeginTurnAsync()).Fence));
            Assert.Equal(turn, cluster.Storage.Writes);
        }

        Assert.Equal(3, (await session.GetAsync())!.Turns);
    }

    /// <summary>Two turns at once: both are taken, and the history is that of the one that was committed last.</summary>
    [Fact]
    public async Task CommitTurn_TurnsOverlap_TheLastCommittedIsTheHistory()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        var (first, second) = (await session.BeginTurnAsync(), await session.BeginTurnAsync());

        await session.CommitTurnAsync(Turn("second", tokens: 7, second.Fence));
        await session.CommitTurnAsync(Turn("first", tokens: 4, first.Fence));

        var told = (await session.GetAsync())!;
        Assert.Equal((2, 4, "first"), (told.Turns, told.HistoryTokens, told.LastTurnId));
    }

    [Fact]
    public async Task CommitTurn_Again_IsNotCountedAgain()
    {
        await using var cluster = await StartAsync();
        await cluster.Session().CommitTurnAsync(Turn("a"));

        Assert.Equal(1, (await cluster.Session().CommitTurnAsync(Turn("a"))).Turns);
    }

    [Fact]
    public async Task CommitTurn_BeyondTheHistorysBound_IsRefusedAndChangesNothing()
    {
        await using var cluster = await StartAsync(options => options.MaxHistoryTokens = 10);
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a", tokens: 10));

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => session.CommitTurnAsync(Turn("b", tokens: 11)));

        Assert.Equal("session_id", error.Parameter);
        Assert.Contains("11 tokens; at most 10", error.Message);
        Assert.Equal("a", (await session.GetAsync())!.LastTurnId);
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData(null, true)]
    [InlineData("older", false)]
    public async Task BeginTurn_AfterATurn_SaysWhetherItWasTheLast(string? after, bool isLast)
    {
        await using var cluster = await StartAsync();
        await cluster.Session().CommitTurnAsync(Turn("a"));

        Assert.Equal(isLast, (await cluster.Session().BeginTurnAsync(after)).IsBehindLast);
    }

    [Fact]
    public async Task Fork_BranchesShareTheHistoryAndNothingElse()
    {
        await using var cluster = await StartAsync();
        await cluster.Session("one").CommitTurnAsync(Turn("a", tokens: 6));

        var branch = (await cluster.Session("one").BranchAsync())!;
        var forked = await cluster.Session("two").OpenAsync(branch);
        Assert.Equal((1, 6, "a", "tenant/one", Owner), (forked.Turns, forked.HistoryTokens, forked.LastTurnId, forked.ForkedFrom, forked.Owner!.Value));
        await cluster.Session("two").CommitTurnAsync(Turn("b", tokens: 9));
        await cluster.Session("one").CloseAsync();

        Assert.Equal((2, 9), ((await cluster.Session("two").GetAsync())!.Turns, (await cluster.Session("two").GetAsync())!.HistoryTokens));
        Assert.Null(await cluster.Session("one").BranchAsync());
        Assert.Null(await cluster.Session("one").GetAsync());
    }

    [Fact]
    public async Task Open_WhereThereIsASession_IsRefused()
    {
        await using var cluster = await StartAsync();
        await cluster.Session("one").CommitTurnAsync(Turn("a"));
        await cluster.Session("two").CommitTurnAsync(Turn("b"));
        var branch = (await cluster.Session("one").BranchAsync())!;

        var error = await Assert.ThrowsAsync<SessionExistsException>(() => cluster.Session("two").OpenAsync(branch));

        Assert.Contains("tenant/two", error.Message);
        Assert.Equal("b", (await cluster.Session("two").GetAsync())!.LastTurnId);
    }

    /// <summary>A turn that began before cannot bring a closed session back; one that begins after makes a new one.</summary>
    [Fact]
    public async Task Close_TurnsThatBeganBefore_AreNotTaken()
    {
        await using var cluster = await StartAsync();
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a"));
        var before = await session.BeginTurnAsync();

        Assert.True(await session.CloseAsync());
        Assert.False(await session.CloseAsync());

        await Assert.ThrowsAsync<SessionClosedException>(() => session.CommitTurnAsync(Turn("late", fence: before.Fence)));
        Assert.Null(await session.GetAsync());
        await session.CommitTurnAsync(Turn("b", fence: (await session.BeginTurnAsync()).Fence));
        Assert.Equal(1, (await session.GetAsync())!.Turns);
    }

    /// <summary>The replica that computed it is gone, and with it what it would have pinned.</summary>
    [Fact]
    public async Task CommitTurn_OwnerIsGone_IsTakenAndPinsNothing()
    {
        await using var cluster = await StartAsync(options => options.PinLease = TimeSpan.FromMinutes(1));
        var session = cluster.Session();

        await session.CommitTurnAsync(Turn("a", fence: (await session.BeginTurnAsync()).Fence));
        var told = await session.CommitTurnAsync(Turn("b", fence: (await session.BeginTurnAsync()).Fence));

        Assert.Equal((2, Owner, 0, null), (told.Turns, told.Owner!.Value, told.PinnedTokens, told.PinnedUntil));
        Assert.True(await session.CloseAsync());
    }

    [Fact]
    public async Task Expired_IsNotThere_AndLeavesNothing()
    {
        await using var cluster = await StartAsync(options => options.IdleLifetime = TimeSpan.FromMilliseconds(1));
        var session = cluster.Session();
        await session.CommitTurnAsync(Turn("a"));

        // Nothing tells when the millisecond is over.
        while (await session.GetAsync() is not null) await Task.Yield();

        Assert.Null(await session.BranchAsync());
        Assert.Empty(cluster.Storage.Stored);
        Assert.Equal((0, 0), Memory(cluster).Held);
        Assert.Equal(1, (await session.CommitTurnAsync(Turn("b"))).Turns);
    }

    [Theory]
    [InlineData(false, 5)]
    [InlineData(true, 2)]
    public async Task BeyondItsMemory_TheLongestUnusedLeave_AndAreGoneOnlyWhereTheStorageIsMemory(bool isMemory, int remain)
    {
        const int Tokens = 1000;
        await using var cluster = await StartAsync(options =>
            (options.IsStorageMemory, options.MemoryBytes) = (isMemory, 2 * ((Tokens * sizeof(int)) + HeldMemory.BytesOfAnActivation)));

        for (var i = 0; i < 5; i++) await cluster.Session($"{i}").CommitTurnAsync(Turn("a", Tokens));

        Assert.Equal((2, 2L * ((Tokens * sizeof(int)) + HeldMemory.BytesOfAnActivation)), Memory(cluster).Held);
        // They leave beside the commits; a session that is asked for has left by then or says so itself.
        if (isMemory) while (cluster.Storage.Stored.Count > remain) await Task.Yield();
        var there = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            if (await cluster.Session($"{i}").GetAsync() is not null) there.Add($"{i}");
        }

        Assert.Equal(Enumerable.Range(5 - remain, remain).Select(i => $"{i}"), there);
    }

    [Fact]
    public async Task SiloLost_WhatWasCommittedIsThere()
    {
        await using var cluster = await StartAsync(silos: 2);
        for (var i = 0; i < 8; i++) await cluster.Session($"{i}").CommitTurnAsync(Turn("a", tokens: 4 + i));

        await cluster.Orleans.KillSiloAsync(cluster.Orleans.Silos[1]);

        for (var i = 0; i < 8; i++) Assert.Equal(4 + i, (await AskAsync(cluster.Session($"{i}")))!.HistoryTokens);
    }

    /// <summary>A silo that is lost with the beginning of a turn does not keep its end out.</summary>
    [Fact]
    public async Task SiloLost_DuringATurn_TheTurnIsTaken()
    {
        await using var cluster = await StartAsync(silos: 2);
        var sessions = Enumerable.Range(0, 8).Select(i => cluster.Session($"{i}")).ToList();
        var starts = new List<SessionTurnStart>();
        foreach (var session in sessions)
        {
            await session.CommitTurnAsync(Turn("a"));
            starts.Add(await session.BeginTurnAsync());
        }

        await cluster.Orleans.KillSiloAsync(cluster.Orleans.Silos[1]);
        foreach (var session in sessions) await AskAsync(session);

        foreach (var (session, start) in sessions.Zip(starts)) Assert.Equal(2, (await session.CommitTurnAsync(Turn("b", fence: start.Fence))).Turns);
    }

    private static async Task<SessionInfo?> AskAsync(ISessionGrain session)
    {
        while (true)
        {
            try
            {
                return await session.GetAsync();
            }
            catch (OrleansException)
            {
                await Task.Yield(); // Until the silo is known to be gone.
            }
        }
    }

    private static SessionMemory Memory(SessionCluster cluster) => cluster.Orleans.GetSiloServiceProvider().GetRequiredService<SessionMemory>();
}

using Granary.Client;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Sessions;
using Granary.Tests.Client.Support;

namespace Granary.Tests.Client.Grains;

/// <summary>Turns of sessions over grains: recorded once they are whole, without a part in the answer.</summary>
public sealed class SessionTests(SimulatedCluster cluster) : IClassFixture<SimulatedCluster>
{
    private readonly string _id = Guid.NewGuid().ToString("N");

    private string Key => GrainKeys.Session(tenant: null, _id);

    [Fact]
    public async Task Chat_OfASession_ChangesNothingAndIsItsTurn()
    {
        var model = await cluster.DeployAsync();
        var sessions = cluster.Recorder();
        var without = await cluster.Client().ChatAsync(Updates.Ask("Hello", new() { MaxTokens = 20, Seed = 7 }, model)).ReadAsync();
        var turns = new List<List<GenerationUpdate>>();
        for (var turn = 0; turn < 2; turn++)
            turns.Add(await cluster.Client(sessions: sessions).ChatAsync(Updates.Ask("Hello", new() { MaxTokens = 20, Seed = 7, SessionId = _id }, model)).ReadAsync());

        Assert.All(turns, turn => Assert.Equal(without.Text(), turn.Text()));
        var session = (await AskAsync(sessions))!;
        var usage = turns[1][^1].Usage!;
        Assert.Equal((2, usage.PromptTokens + usage.CompletionTokens, model), (session.Turns, session.HistoryTokens, session.Model));
        Assert.Equal(turns[1][0].ResponseId, session.LastTurnId);
        Assert.EndsWith($"/{model}/0", session.Owner!.Value.ReplicaId, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Chat_ThatIsLeft_IsNoTurn()
    {
        var model = await cluster.DeployAsync();
        var sessions = cluster.Recorder();

        await foreach (var update in cluster.Client(sessions: sessions).ChatAsync(Updates.Ask("Hello", new() { MaxTokens = 400, SessionId = _id }, model)))
        {
            if (update.Text.Length > 0) break;
        }

        Assert.Null(await AskAsync(sessions));
    }

    /// <summary>An answer that goes on from an older turn than the last belongs to a session of its own.</summary>
    [Fact]
    public async Task Begin_BehindAnOlderTurn_Branches()
    {
        var sessions = cluster.Recorder();
        foreach (var id in (string[])["first", "second"]) sessions.Begin(Key, id).Commit("model", [1, 2], null);
        await sessions.SettleAsync(Key);

        var (next, older) = (sessions.Begin(Key, "next", after: "second"), sessions.Begin(Key, $"branch-{_id}", after: "first"));
        Assert.Equal((Key, GrainKeys.Session(null, $"branch-{_id}")), (await next.GetKeyAsync(), await older.GetKeyAsync()));
        next.Commit("model", [1, 2, 3], null);
        older.Commit("model", [1, 2, 3, 4], null);
        await sessions.SettleAsync(Key);

        Assert.Equal((3, 3), ((await AskAsync(sessions))!.Turns, (await AskAsync(sessions))!.HistoryTokens));
        var branch = (await cluster.Grains.GetGrain<ISessionGrain>(await older.GetKeyAsync()).GetAsync())!;
        Assert.Equal((1, 4, Key), (branch.Turns, branch.HistoryTokens, branch.ForkedFrom));
    }

    private async Task<SessionInfo?> AskAsync(SessionRecorder sessions)
    {
        await sessions.SettleAsync(Key);
        return await cluster.Grains.GetGrain<ISessionGrain>(Key).GetAsync();
    }
}

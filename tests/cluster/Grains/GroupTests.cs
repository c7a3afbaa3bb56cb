using Granary.Engine;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Cluster.Grains;

/// <summary>The choices of one prompt go to one replica, as long as it takes them.</summary>
public sealed class GroupTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    private const int Replicas = 3;

    [Fact]
    public async Task GenerateAsync_EightChoices_RunOnOneReplicaAndComputeThePromptOnce()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Engine = new EngineOptions { MaxTokensPerStep = 64 } }, Replicas);
        var lives = await Task.WhenAll(Enumerable.Range(0, Replicas).Select(i => fixture.Engines.Life($"{model}/{i}")));
        var before = lives.Sum(life => life.Engine.Load.PromptTokens);
        var computed = 0;
        foreach (var life in lives)
        {
            life.Executor.BeforeStep = plan => Interlocked.Add(ref computed, plan.TokenCount);
            life.Executor.Hold();
        }

        var requests = Enumerable.Range(0, 8)
            .Select(choice => GrainsFixture.Request(model, GrainsFixture.Prompt(41, 500), maxTokens: 10) with { Group = "choices", Choice = choice })
            .ToArray();
        var streams = requests.Select(request => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request))).ToArray();
        foreach (var request in requests)
            await Task.WhenAny(lives.Select(life => life.Engine.WhenSubmitted(request.RequestId))).WaitAsync(GrainsFixture.Patience);
        foreach (var life in lives) life.Executor.Release();
        var choices = await Task.WhenAll(streams);

        Assert.Single(choices.SelectMany(chunks => chunks).Select(chunk => chunk.Epoch).Distinct());
        Assert.Equal(8 * 500, lives.Sum(life => life.Engine.Load.PromptTokens) - before);
        // The prompt once; of the seven others its last, unfinished block; and nine tokens of each that were fed back.
        Assert.Equal(500 + 7 * (500 % 16) + 8 * 9, computed);
        Assert.Equal(8, choices.Select(chunks => string.Join(' ', chunks.Select(chunk => chunk.TokenId))).Distinct().Count());
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task RouteAsync_GroupOfABusyReplica_StaysUntilExcludedOrForgotten()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), Replicas);
        var router = fixture.Router(model);
        var route = new RouteRequest { RequestId = "r", PromptTokens = 200, MaxTokens = 10, PrefixHash = 5, Group = "g" };

        var tickets = new List<Ticket>();
        for (var i = 0; i < 8; i++) tickets.Add(await router.RouteAsync(route));
        var home = Assert.Single(tickets.Select(ticket => ticket.Replica).Distinct());
        Assert.NotEqual(home, (await router.RouteAsync(route with { Group = "other" })).Replica); // By cost it would be another's turn.

        var excluded = await router.RouteAsync(route with { Excluded = [home] });
        Assert.NotEqual(home, excluded.Replica);
        Assert.Equal(home, (await router.RouteAsync(route)).Replica); // One that was turned away does not move the rest.
    }

    [Fact]
    public async Task RouteAsync_ReplicaOfTheGroupGone_TheGroupMovesOn()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), Replicas);
        var router = fixture.Router(model);
        RouteRequest route;
        Ticket ticket;
        for (var group = 0; ; group++)
        {
            route = new RouteRequest { RequestId = "r", PromptTokens = 200, MaxTokens = 10, PrefixHash = (ulong)group, Group = $"g{group}" };
            ticket = await router.RouteAsync(route);
            if (ticket.Replica.ReplicaId == fixture.ReplicaId(model, Replicas - 1)) break; // The first to go when there are to be fewer.
            await router.ReleaseAsync(ticket.BookingId);
            Assert.True(group < 1000, "No prefix goes to that replica.");
        }

        var home = ticket.Replica;
        await fixture.Model(model).DeployAsync(fixture.Spec(Replicas - 1));
        await GrainsFixture.UntilAsync(() => router.GetSnapshotAsync(), snapshot => snapshot.Replicas.Length < Replicas);

        var next = (await router.RouteAsync(route)).Replica;
        Assert.NotEqual(home, next);
        Assert.Equal(next, (await router.RouteAsync(route)).Replica);
    }
}

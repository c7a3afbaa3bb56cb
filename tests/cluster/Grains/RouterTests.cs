using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Cluster.Grains;

/// <summary>What the router learns from the model and its replicas.</summary>
public sealed class RouterTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    private static readonly RouteRequest Route = new() { RequestId = "r", PromptTokens = 1, MaxTokens = 1 };

    [Fact]
    public async Task NewReplicas_AreAskedForTheirLoadAtOnce()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);

        var snapshot = await GrainsFixture.UntilAsync(
            () => fixture.Router(model).GetSnapshotAsync(), snapshot => Array.TrueForAll(snapshot.Replicas, replica => replica.Load is not null));

        Assert.Equal(2, snapshot.Replicas.Length);
        Assert.All(snapshot.Replicas, replica => Assert.Equal((256, 0), (replica.Load!.KvBlocksTotal, replica.Load.KvBlocksUsed)));
        Assert.All(snapshot.Replicas, replica => Assert.True(replica.Load!.Steps >= 1)); // The probe's.
    }

    [Fact]
    public async Task RouteAsync_ModelWithoutReplicas_SaysSoUntilItIsDeployed()
    {
        var model = $"late-{Guid.NewGuid():N}";
        fixture.Engines.Add(model, new ScriptedModel());
        var error = await Assert.ThrowsAsync<ModelNotReadyException>(() => fixture.Router(model).RouteAsync(Route));

        await fixture.Model(model).DeployAsync(fixture.Spec(1));
        var ticket = await GrainsFixture.UntilAsync(() => TryRouteAsync(model), ticket => ticket is not null);

        Assert.Contains("no replica", error.Message);
        Assert.Equal(fixture.ReplicaId(model), ticket!.Replica.ReplicaId);
    }

    [Fact]
    public async Task LifeGone_DropsItsBookings()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        await fixture.Router(model).RouteAsync(Route);
        Assert.Equal(1, await fixture.BookingsAsync(model));

        await fixture.Model(model).DeployAsync(fixture.Spec(1, threads: 2)); // Another life.
        var epoch = await fixture.EpochAsync(model);
        await GrainsFixture.UntilAsync(() => fixture.Router(model).GetSnapshotAsync(), snapshot => snapshot.Replicas is [{ Replica.Epoch: var known }] && known == epoch);

        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task RouteAsync_AskedAgainForTheSameBooking_BooksOnce()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);
        var route = Route with { BookingId = Guid.NewGuid() };

        var tickets = new[] { await fixture.Router(model).RouteAsync(route), await fixture.Router(model).RouteAsync(route) };

        Assert.Equal(tickets[0], tickets[1]);
        Assert.Equal(route.BookingId, tickets[0].BookingId);
        Assert.Equal(1, await fixture.BookingsAsync(model));
        await fixture.Router(model).ReleaseAsync(route.BookingId);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task RouteAsync_ComesBehindItsOwnRelease_BooksNothing()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var route = Route with { BookingId = Guid.NewGuid() };
        await fixture.Router(model).ReleaseAsync(route.BookingId);

        var error = await Assert.ThrowsAsync<RequestRefusedException>(() => fixture.Router(model).RouteAsync(route));

        Assert.Equal("booking_id", error.Parameter);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    private async Task<Ticket?> TryRouteAsync(string model)
    {
        try
        {
            return await fixture.Router(model).RouteAsync(Route);
        }
        catch (ModelNotReadyException)
        {
            return null;
        }
    }
}

using Granary.Engine;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Granary.Routing;

namespace Granary.Tests.Cluster.Grains;

/// <summary>What a replica turns away, and what the client makes of it.</summary>
public sealed class AdmissionTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    /// <summary>One sequence runs, one waits, the next is refused.</summary>
    private static readonly ScriptedModel Narrow = new() { Engine = new EngineOptions { MaxRunningSequences = 1, MaxQueuedSequences = 1 } };

    [Fact]
    public async Task GenerateAsync_OtherEpoch_IsRefusedWithBothEpochs()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var epoch = await fixture.EpochAsync(model);

        var error = await Assert.ThrowsAsync<EpochMismatchException>(
            () => GrainsFixture.ReadAsync(fixture.GenerateAsync(model, 0, GrainsFixture.Request(model, [1]), epoch - 1)));

        Assert.Equal((epoch - 1, epoch), (error.Asked, error.Actual));
        Assert.Equal(0, (await fixture.Replica(model).GetLoadAsync()).RunningSequences);
    }

    [Fact]
    public async Task GenerateAsync_NoEngineHere_IsRefused()
    {
        var error = await Assert.ThrowsAsync<EpochMismatchException>(
            () => GrainsFixture.ReadAsync(fixture.GenerateAsync("nowhere", 0, GrainsFixture.Request("nowhere", [1]), 7)));

        Assert.Equal((7, 0), (error.Asked, error.Actual));
        await Assert.ThrowsAsync<ModelNotReadyException>(() => fixture.Replica("nowhere").GetLoadAsync());
    }

    [Fact]
    public async Task GenerateAsync_OnlyReplicaFull_TellsSaturationAndGivesTheBookingBack()
    {
        var model = await fixture.DeployAsync(Narrow);
        await using var crowd = await Crowd.FillAsync(fixture, model, 0);
        var request = GrainsFixture.Request(model, [1, 2, 3]);

        var error = await Assert.ThrowsAsync<ReplicaSaturatedException>(() => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request)));

        Assert.True(error.RetryAfter > TimeSpan.Zero);
        Assert.Equal(RefusalReason.Saturated, crowd.Life.Engine.RefusalOf(request.RequestId));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_FirstChoiceFull_GoesToTheOther()
    {
        var model = await fixture.DeployAsync(Narrow, replicas: 2);
        await using var crowd = await Crowd.FillAsync(fixture, model, 0);
        // Where both look idle to the router the prefix decides; this one prefers the full replica. Whether the router has heard by then, or a refusal tells: it goes elsewhere.
        var request = GrainsFixture.Request(model, PromptFor(model, preferred: 0, other: 1));

        var chunks = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request));

        Assert.Equal([await fixture.EpochAsync(model, 1)], chunks.Select(chunk => chunk.Epoch).Distinct());
        Assert.Equal(await GrainsFixture.RunAloneAsync(request), chunks.Select(chunk => chunk.TokenId));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_AllFull_TellsSaturationAfterTwoTickets()
    {
        var model = await fixture.DeployAsync(Narrow, replicas: 2);
        await using var one = await Crowd.FillAsync(fixture, model, 0);
        await using var other = await Crowd.FillAsync(fixture, model, 1);
        var request = GrainsFixture.Request(model, [1, 2, 3]);

        await Assert.ThrowsAsync<ReplicaSaturatedException>(() => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request)));

        Assert.Equal(RefusalReason.Saturated, one.Life.Engine.RefusalOf(request.RequestId));
        Assert.Equal(RefusalReason.Saturated, other.Life.Engine.RefusalOf(request.RequestId));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task RouteAsync_EqualRequestsOnTwoReplicas_BooksThemAlternately()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);
        var route = new RouteRequest { RequestId = "r", PromptTokens = 10, MaxTokens = 10, PrefixHash = 1 };

        var tickets = new List<Ticket>();
        for (var i = 0; i < 8; i++) tickets.Add(await fixture.Router(model).RouteAsync(route));

        Assert.Equal([4, 4], (await fixture.Router(model).GetSnapshotAsync()).Replicas.Select(replica => replica.BookedRequests));
        foreach (var ticket in tickets) await fixture.Router(model).ReleaseAsync(ticket.BookingId);
        await fixture.Router(model).ReleaseAsync(tickets[0].BookingId); // Twice does no harm.
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task RouteAsync_AllExcluded_SaysWhenToComeAgain()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var life = new ReplicaLife(fixture.ReplicaId(model), await fixture.EpochAsync(model));
        var route = new RouteRequest { RequestId = "r", PromptTokens = 10, MaxTokens = 10, Excluded = [life] };

        var error = await Assert.ThrowsAsync<ModelNotReadyException>(() => fixture.Router(model).RouteAsync(route));

        Assert.True(error.RetryAfter >= TimeSpan.FromSeconds(1));
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    private int[] PromptFor(string model, int preferred, int other)
    {
        for (var first = 0; first < 256; first++)
        {
            var hash = PrefixHash.Of([first, 2, 3]);
            if (RendezvousHash.Weight(hash, fixture.ReplicaId(model, preferred)) > RendezvousHash.Weight(hash, fixture.ReplicaId(model, other))) return [first, 2, 3];
        }

        throw new InvalidOperationException("256 prompts all prefer the same replica.");
    }

    /// <summary>Two sequences that fill a narrow replica, past the router, until this is disposed.</summary>
    private sealed class Crowd(ScriptedLife life, Task<List<TokenChunk>>[] streams) : IAsyncDisposable
    {
        public ScriptedLife Life => life;

        public static async Task<Crowd> FillAsync(GrainsFixture fixture, string model, int index)
        {
            var life = await fixture.Engines.Life($"{model}/{index}");
            var epoch = await fixture.EpochAsync(model, index);
            var next = (await fixture.Replica(model, index).GetLoadAsync()).Steps + 1;
            life.Executor.Hold();

            var runs = GrainsFixture.Request(model, [1]);
            var running = GrainsFixture.ReadAsync(fixture.GenerateAsync(model, index, runs, epoch));
            await life.Executor.StepReached(next).WaitAsync(GrainsFixture.Patience); // It left the queue.
            var waits = GrainsFixture.Request(model, [2]);
            var waiting = GrainsFixture.ReadAsync(fixture.GenerateAsync(model, index, waits, epoch));
            await life.Engine.WhenSubmitted(waits.RequestId).WaitAsync(GrainsFixture.Patience);
            Assert.Null(life.Engine.RefusalOf(waits.RequestId));
            return new(life, [running, waiting]);
        }

        public async ValueTask DisposeAsync()
        {
            life.Executor.Release();
            foreach (var chunks in await Task.WhenAll(streams)) Assert.Equal(16, chunks.Count);
        }
    }
}

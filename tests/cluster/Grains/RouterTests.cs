using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Cluster.Grains;

/// <summary>What the router learns from replicas, and what it makes of those that do not answer.</summary>
public sealed class RouterTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    [Fact]
    public async Task NewReplicas_AreAskedForTheirLoadAtOnce()
    {
        var model = await fixture.DeployAsync(new ScriptedModel(), replicas: 2);

        var loads = await RepeatUntilAsync(
            async () => (await fixture.Router(model).GetSnapshotAsync()).Replicas.Select(replica => replica.Load).ToList(),
            loads => loads.TrueForAll(load => load is not null));

        Assert.All(loads, load => Assert.Equal((256, 0), (load!.KvBlocksTotal, load.KvBlocksUsed)));
        Assert.All(loads, load => Assert.True(load!.Steps >= 1)); // The probe's.
    }

    [Fact]
    public async Task ReplicaThatDoesNotAnswer_IsLeftOutWithAClearError()
    {
        var model = $"ghost-{Guid.NewGuid():N}";
        var ghost = new ReplicaDescriptor { Replica = new($"{model}/0", 5), ContextLength = 100, KvCapacityTokens = 100 };
        await fixture.Router(model).SetReplicasAsync([ghost]);

        var error = await RepeatUntilAsync(
            async () => await Record.ExceptionAsync(() => fixture.Router(model).RouteAsync(new RouteRequest { RequestId = "r", PromptTokens = 1, MaxTokens = 1 })),
            error => error is not null);

        Assert.Contains("answers", Assert.IsType<ModelNotReadyException>(error).Message);
        await fixture.Router(model).SetReplicasAsync([]);
        Assert.Empty((await fixture.Router(model).GetSnapshotAsync()).Replicas);
    }

    [Fact]
    public async Task SetReplicas_LifeGone_DropsItsBookings()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var descriptor = (await fixture.Model(model).GetStatusAsync()).Replicas[0];
        await fixture.Router(model).RouteAsync(new RouteRequest { RequestId = "r", PromptTokens = 1, MaxTokens = 1 });
        Assert.Equal(1, await fixture.BookingsAsync(model));

        await fixture.Router(model).SetReplicasAsync([]);
        await fixture.Router(model).SetReplicasAsync([descriptor]);

        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    /// <summary>Asks again until the answer is the one awaited; every question is a call to a grain, so others get their turns.</summary>
    private static async Task<T> RepeatUntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isAwaited)
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        while (true)
        {
            var answer = await ask();
            if (isAwaited(answer)) return answer;
            patience.Token.ThrowIfCancellationRequested();
        }
    }
}

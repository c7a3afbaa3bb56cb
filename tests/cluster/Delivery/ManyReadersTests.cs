using Granary.Client;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>Readers of a real engine over real grains.</summary>
public sealed class ManyReadersTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    private const int MaxTokens = 700;

    [Fact]
    public async Task SlowReader_AmongOthersOfItsConnection_StopsItselfOnlyAndLosesNothing()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Engine = new EngineOptions { MaxBufferedTokens = 4 } });
        var life = new ReplicaLife(fixture.ReplicaId(model), await fixture.EpochAsync(model));
        var slow = GrainsFixture.Request(model, [1, 2, 3], MaxTokens);
        await using var stream = await fixture.Connections.SubmitAsync(life, slow, CancellationToken.None);

        // The others run from begin to end while nobody reads the first.
        var others = Enumerable.Range(1, 8).Select(seed => GrainsFixture.Request(model, [seed], MaxTokens, (ulong)seed)).ToArray();
        var answers = await Task.WhenAll(others.Select(other => GrainsFixture.ReadAsync(fixture.GenerateAsync(model, 0, other, life.Epoch)))).WaitAsync(GrainsFixture.Patience);

        for (var i = 0; i < others.Length; i++) Assert.Equal(await GrainsFixture.RunAloneAsync(others[i]), answers[i].Select(chunk => chunk.TokenId));
        var ids = new List<int>();
        while (await stream.NextAsync().AsTask().WaitAsync(GrainsFixture.Patience) == StreamNews.Token) ids.Add(stream.Current.TokenId);
        Assert.Equal(await GrainsFixture.RunAloneAsync(slow), ids);
    }

    [Fact]
    public async Task ManyConnections_OfOneReplica_EachGetTheirOwn()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Device = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(1) } });
        var life = new ReplicaLife(fixture.ReplicaId(model), await fixture.EpochAsync(model));
        var requests = Enumerable.Range(0, 48).Select(i => GrainsFixture.Request(model, GrainsFixture.Prompt(i, 5 + i), 10 + (3 * i), (ulong)i)).ToArray();
        var connections = Enumerable.Range(0, 12).Select(_ => new ReplicaConnections(fixture.Grains, TimeProvider.System)).ToArray();

        var answers = await Task.WhenAll(requests.Select((request, i) => ReadAsync(connections[i % connections.Length], request))).WaitAsync(GrainsFixture.Patience);

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await GrainsFixture.RunAloneAsync(requests[i]), answers[i]);
        Assert.Equal(0, (await fixture.Replica(model).GetLoadAsync()).WaitingSequences);

        async Task<List<int>> ReadAsync(ReplicaConnections connection, GenerateRequest request)
        {
            var ids = new List<int>();
            await using var stream = await connection.SubmitAsync(life, request, CancellationToken.None);
            while (await stream.NextAsync() == StreamNews.Token) ids.Add(stream.Current.TokenId);
            return ids;
        }
    }

    [Fact]
    public async Task EngineFails_EveryStreamOfTheConnectionGoesOnInTheNextLife()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var life = await fixture.Engines.Life($"{model}/0");
        life.Executor.Hold();
        var requests = Enumerable.Range(0, 8).Select(seed => GrainsFixture.Request(model, [1, 2], MaxTokens, seed: (ulong)seed)).ToArray();
        var submitted = requests.Select(request => life.Engine.WhenSubmitted(request.RequestId)).ToArray();
        var streams = requests.Select(request => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request))).ToArray();
        await Task.WhenAll(submitted).WaitAsync(GrainsFixture.Patience);

        life.Executor.BeforeStep = _ => throw new StepFailedException("device lost");
        life.Executor.Release();

        for (var i = 0; i < streams.Length; i++)
            Assert.Equal(await GrainsFixture.RunAloneAsync(requests[i]), (await streams[i].WaitAsync(GrainsFixture.Patience)).Select(chunk => chunk.TokenId));
    }
}

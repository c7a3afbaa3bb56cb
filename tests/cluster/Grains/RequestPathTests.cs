using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;

namespace Granary.Tests.Cluster.Grains;

/// <summary>A request goes client → router → replica → engine, and its tokens come back.</summary>
public sealed class RequestPathTests(GrainsFixture fixture) : IClassFixture<GrainsFixture>
{
    /// <summary>The engine pauses a sequence whose reader is this far behind: it runs for as long as a test wants.</summary>
    private static readonly ScriptedModel Endless = new() { Engine = new EngineOptions { MaxBufferedTokens = 4 } };

    [Fact]
    public async Task GenerateAsync_WholeWay_GivesTheEnginesTokensInOrder()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var request = GrainsFixture.Request(model, GrainsFixture.Prompt(1, 40), maxTokens: 300);

        var chunks = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request));

        Assert.Equal(await GrainsFixture.RunAloneAsync(request), chunks.Select(chunk => chunk.TokenId));
        Assert.Equal(Enumerable.Range(0, 300), chunks.Select(chunk => chunk.Index));
        Assert.All(chunks.SkipLast(1), chunk => Assert.Null(chunk.FinishReason));
        Assert.Equal(FinishReason.Length, chunks[^1].FinishReason);
        Assert.Equal([await fixture.EpochAsync(model)], chunks.Select(chunk => chunk.Epoch).Distinct());
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_SamePromptAgain_TellsWhatTheCacheHeld()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());
        var prompt = GrainsFixture.Prompt(2, 65);

        var first = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, prompt)));
        var second = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, prompt)));

        Assert.Equal(first.Select(chunk => chunk.TokenId), second.Select(chunk => chunk.TokenId));
        Assert.All(first, chunk => Assert.Equal(0, chunk.CachedPromptTokens));
        Assert.All(second, chunk => Assert.Equal(64, chunk.CachedPromptTokens));
    }

    [Fact]
    public async Task GenerateAsync_ModelsEndToken_EndsTheSequenceUnlessIgnored()
    {
        var device = new SimulatedDevice();
        var plain = GrainsFixture.Request("reference", GrainsFixture.Prompt(3, 20), maxTokens: 24);
        var ids = await GrainsFixture.RunAloneAsync(plain, device);
        var eos = ids[5];
        var model = await fixture.DeployAsync(new ScriptedModel { Device = device, EosTokenIds = FrozenSet.Create(eos) });

        var ended = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(plain with { Model = model }));
        var ignored = await GrainsFixture.ReadAsync(
            fixture.Client.GenerateAsync(plain with { Model = model, Sampling = plain.Sampling with { IgnoreEos = true } }));

        Assert.Equal(ids.Take(Array.IndexOf(ids, eos) + 1), ended.Select(chunk => chunk.TokenId));
        Assert.Equal(FinishReason.Stop, ended[^1].FinishReason);
        Assert.Equal(ids, ignored.Select(chunk => chunk.TokenId));
    }

    [Fact]
    public async Task GenerateAsync_CallerLeavesEarly_ReleasesSequenceAndBooking()
    {
        var model = await fixture.DeployAsync(Endless);
        var life = await fixture.Engines.Life($"{model}/0");

        await foreach (var chunk in fixture.Client.GenerateAsync(GrainsFixture.Request(model, [1, 2, 3], maxTokens: 1000)))
        {
            Assert.Equal(1, await fixture.BookingsAsync(model));
            if (chunk.Index == 3) break;
        }

        // Leaving waits for the replica: nothing runs any more, and nothing is booked.
        Assert.Equal(0, life.Engine.Load.RunningSequences);
        Assert.Equal(0, life.Engine.Load.KvBlocksUsed);
        Assert.Equal(0, (await fixture.Replica(model).GetLoadAsync()).WaitingSequences);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_CallerCancels_ReleasesSequenceAndBooking()
    {
        var model = await fixture.DeployAsync(Endless);
        var life = await fixture.Engines.Life($"{model}/0");
        using var caller = new CancellationTokenSource();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var chunk in fixture.Client.GenerateAsync(GrainsFixture.Request(model, [1, 2, 3], maxTokens: 1000), caller.Token))
            {
                if (chunk.Index == 3) await caller.CancelAsync();
            }
        });

        Assert.Equal(0, life.Engine.Load.RunningSequences);
        Assert.Equal(0, life.Engine.Load.KvBlocksUsed);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_DeadlinePasses_EndsWithThatReason()
    {
        var slow = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(10) };
        var model = await fixture.DeployAsync(new ScriptedModel { Device = slow });
        var request = GrainsFixture.Request(model, [1, 2, 3], maxTokens: 1000) with { Deadline = DateTimeOffset.UtcNow.AddMilliseconds(400) };

        var chunks = await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request));

        Assert.Equal(FinishReason.Deadline, chunks[^1].FinishReason);
        Assert.InRange(chunks.Count, 1, 999);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_DeadlineOverBefore_EndsWithoutATicket()
    {
        var request = GrainsFixture.Request("nowhere", [1]) with { Deadline = DateTimeOffset.UtcNow.AddSeconds(-1) };

        var chunk = Assert.Single(await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request)));

        Assert.Equal((0, -1, FinishReason.Deadline), (chunk.Index, chunk.TokenId, chunk.FinishReason));
    }

    [Fact]
    public async Task GenerateAsync_UnknownModel_SaysWhenToComeAgain()
    {
        var error = await Assert.ThrowsAsync<ModelNotReadyException>(
            () => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request("nowhere", [1]))));

        Assert.True(error.RetryAfter > TimeSpan.Zero);
        Assert.Contains("nowhere", error.Message);
    }

    [Fact]
    public async Task GenerateAsync_ValueOutOfBounds_NamesTheField()
    {
        var model = await fixture.DeployAsync(new ScriptedModel());

        var error = await Assert.ThrowsAsync<RequestRefusedException>(
            () => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, [1], maxTokens: 0))));

        Assert.Equal("max_tokens", error.Parameter);
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }

    [Fact]
    public async Task GenerateAsync_PromptLongerThanAnyReplicaHolds_IsRefusedByTheRouter()
    {
        var model = await fixture.DeployAsync(new ScriptedModel { Device = new SimulatedDevice { ContextLength = 64 } });

        var error = await Assert.ThrowsAsync<RequestRefusedException>(
            () => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, GrainsFixture.Prompt(4, 64)))));

        Assert.Contains("63", error.Message);
        Assert.NotEmpty(await GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(GrainsFixture.Request(model, GrainsFixture.Prompt(4, 63)))));
    }

    [Fact]
    public async Task GenerateAsync_ManyAtOnceOnTwoReplicas_EqualTheirSoloRuns()
    {
        var device = new SimulatedDevice { PerStep = TimeSpan.FromMilliseconds(1) };
        var model = await fixture.DeployAsync(new ScriptedModel { Device = device }, replicas: 2);
        var requests = Enumerable.Range(0, 32)
            .Select(i => GrainsFixture.Request(model, GrainsFixture.Prompt(i, 3 + 7 * i), maxTokens: 8 + 3 * i, seed: (ulong)i, temperature: i % 3))
            .ToList();

        var answers = await Task.WhenAll(requests.Select(request => GrainsFixture.ReadAsync(fixture.Client.GenerateAsync(request))));

        for (var i = 0; i < requests.Count; i++)
            Assert.Equal(await GrainsFixture.RunAloneAsync(requests[i]), answers[i].Select(chunk => chunk.TokenId));
        Assert.Equal(2, answers.Select(chunks => chunks[0].Epoch).Distinct().Count());
        Assert.Equal(0, await fixture.BookingsAsync(model));
    }
}

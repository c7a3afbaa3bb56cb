using Granary.Engine;
using Granary.Engine.Simulation;

namespace Granary.Tests.Unit.Engine;

/// <summary>The same request generates the same tokens whatever else the engine does. The device's logits depend on all of the KV cache.</summary>
public sealed class EngineExactnessTests
{
    private static EngineRequest Probe => EngineHarness.Request(EngineHarness.RandomPrompt(new(1), 61), maxTokens: 40, seed: 11);

    [Fact]
    public async Task Generate_AmongOthers_EqualsAlone()
    {
        var random = new Random(2);
        var requests = Enumerable.Range(0, 32)
            .Select(i => i == 17 ? Probe : EngineHarness.Request(
                EngineHarness.RandomPrompt(random, random.Next(1, 100)), random.Next(1, 60), random.Next(3) * 0.5f, (ulong)i))
            .ToArray();
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { KvBlockCount = 512 }));

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(16)]
    public async Task Generate_PromptInChunks_EqualsAlone(int tokensPerStep)
    {
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, new SimulatedExecutor(new()));

        var results = await Task.WhenAll(engine.Submit(Probe).ReadAll(), engine.Submit(Probe with { Choice = 1 }).ReadAll());

        Assert.Equal(await EngineHarness.Alone(Probe), EngineHarness.Ids(results[0]));
        Assert.Equal(await EngineHarness.Alone(Probe with { Choice = 1 }), EngineHarness.Ids(results[1]));
        Assert.NotEqual(EngineHarness.Ids(results[0]), EngineHarness.Ids(results[1]));
    }

    [Fact]
    public async Task Generate_PrefixCached_EqualsAlone()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
        var longer = Probe with { PromptTokenIds = [.. Probe.PromptTokenIds, 9, 8, 7] };

        await engine.Submit(Probe).ReadAll();
        var again = await engine.Submit(Probe).ReadAll();
        var extended = await engine.Submit(longer).ReadAll();

        Assert.Equal(48, again[0].CachedPromptTokens);
        Assert.Equal(48, extended[0].CachedPromptTokens);
        Assert.Equal(await EngineHarness.Alone(Probe), EngineHarness.Ids(again));
        Assert.Equal(await EngineHarness.Alone(longer), EngineHarness.Ids(extended));
        Assert.Equal(96, engine.Load.PrefixCacheHits);
    }

    [Fact]
    public async Task Generate_PrefixCachedUnderOtherSalt_SharesNothing()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));

        await engine.Submit(Probe with { CacheSalt = "a" }).ReadAll();

        Assert.Equal(0, (await engine.Submit(Probe with { CacheSalt = "b" }).ReadAll())[0].CachedPromptTokens);
        Assert.Equal(48, (await engine.Submit(Probe with { CacheSalt = "a" }).ReadAll())[0].CachedPromptTokens);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Generate_Preempted_EqualsAlone(bool prefixCaching)
    {
        var random = new Random(3);
        var requests = Enumerable.Range(0, 12)
            .Select(i => EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 30)), 60, 1, (ulong)i)).ToArray();
        await using var engine = InferenceEngine.Start(
            new() { PrefixCaching = prefixCaching }, new SimulatedExecutor(new() { KvBlockCount = 14 }));

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        Assert.True(engine.Load.Preemptions > 0, "The pool was not small enough to preempt anything.");
        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(23)]
    [InlineData(39)]
    public async Task Generate_ReplayedAfterTokens_GoesOnAsUninterrupted(int delivered)
    {
        var whole = await EngineHarness.Alone(Probe);
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));

        var rest = await engine.Submit(Probe with
        {
            PromptTokenIds = [.. Probe.PromptTokenIds, .. whole[..delivered]],
            ReplayedTokens = delivered,
        }).ReadAll();

        Assert.Equal(whole[delivered..], EngineHarness.Ids(rest));
        Assert.Equal(Enumerable.Range(delivered, whole.Length - delivered), rest.Select(token => token.Index));
        Assert.Equal(SequenceEnd.Length, rest[^1].End);
    }

    [Fact]
    public async Task Generate_AllTokensReplayed_EndsWithoutToken()
    {
        var whole = await EngineHarness.Alone(Probe);
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));

        var rest = await engine.Submit(Probe with
        {
            PromptTokenIds = [.. Probe.PromptTokenIds, .. whole],
            ReplayedTokens = whole.Length,
        }).ReadAll();

        Assert.Equal([new GeneratedToken(whole.Length, -1, 0, SequenceEnd.Length)], rest);
    }
}

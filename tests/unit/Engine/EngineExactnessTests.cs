using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>The same request generates the same tokens whatever else the engine does. The device's logits depend on all of the KV cache.</summary>
public sealed class EngineExactnessTests
{
    private static EngineRequest Probe => EngineHarness.Request(EngineHarness.RandomPrompt(new(1), 61), maxTokens: 40, seed: 11);

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Generate_AmongOthers_EqualsAlone(int depth)
    {
        var random = new Random(2);
        var requests = Enumerable.Range(0, 32)
            .Select(i => i == 17 ? Probe : EngineHarness.Request(
                EngineHarness.RandomPrompt(random, random.Next(1, 100)), random.Next(1, 60), random.Next(3) * 0.5f, (ulong)i))
            .ToArray();
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { KvBlockCount = 512, StepsInFlight = depth }));

        var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));

        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    [Theory, MemberData(nameof(EngineHarness.DepthsWith), new[] { 1, 7, 16 }, MemberType = typeof(EngineHarness))]
    public async Task Generate_PromptInChunks_EqualsAlone(int depth, int tokensPerStep)
    {
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = tokensPerStep }, new SimulatedExecutor(new() { StepsInFlight = depth }));

        var results = await Task.WhenAll(engine.Submit(Probe).ReadAll(), engine.Submit(Probe with { Choice = 1 }).ReadAll());

        Assert.Equal(await EngineHarness.Alone(Probe), EngineHarness.Ids(results[0]));
        Assert.Equal(await EngineHarness.Alone(Probe with { Choice = 1 }), EngineHarness.Ids(results[1]));
        Assert.NotEqual(EngineHarness.Ids(results[0]), EngineHarness.Ids(results[1]));
    }

    [Theory, MemberData(nameof(EngineHarness.Depths), MemberType = typeof(EngineHarness))]
    public async Task Generate_PrefixCached_EqualsAlone(int depth)
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { StepsInFlight = depth }));
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
    public async Task Generate_WholePromptCached_ComputesItsLastBlockAgain()
    {
        var request = Probe with { PromptTokenIds = Probe.PromptTokenIds[..48] };
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
        await engine.Submit(request).ReadAll();

        var again = await engine.Submit(request).ReadAll();

        Assert.Equal(32, again[0].CachedPromptTokens);
        Assert.Equal(await EngineHarness.Alone(request), EngineHarness.Ids(again));
    }

    [Fact]
    public async Task Generate_PrefixCachedUnderOtherSalt_SharesNothing()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));

        await engine.Submit(Probe with { CacheSalt = "a" }).ReadAll();

        Assert.Equal(0, (await engine.Submit(Probe with { CacheSalt = "b" }).ReadAll())[0].CachedPromptTokens);
        Assert.Equal(48, (await engine.Submit(Probe with { CacheSalt = "a" }).ReadAll())[0].CachedPromptTokens);
    }

    [Fact]
    public async Task Generate_AfterCancelInMidPrefill_SharesOnlyWhatWasComputed()
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(new()));
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 20 }, executor);
        executor.Hold();
        var cancelled = engine.Submit(Probe);
        executor.Allow(1);
        await executor.StepReached(2).WaitAsync(EngineHarness.Patience);
        var disposal = cancelled.DisposeAsync().AsTask();
        executor.Release(); // The second step of 20 tokens still runs.
        await disposal.WaitAsync(EngineHarness.Patience);

        var again = await engine.Submit(Probe).ReadAll();

        Assert.Equal(32, again[0].CachedPromptTokens);
        Assert.Equal(await EngineHarness.Alone(Probe), EngineHarness.Ids(again));
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(3, false)]
    [InlineData(4, true)]
    [InlineData(4, false)]
    public async Task Generate_Preempted_EqualsAlone(int depth, bool prefixCaching)
    {
        var random = new Random(3);
        var requests = Enumerable.Range(0, 12)
            .Select(i => EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 30)), 60, 1, (ulong)i)).ToArray();
        var executor = new ScriptedExecutor(new SimulatedExecutor(new() { KvBlockCount = 14, StepsInFlight = depth }));
        await using var engine = InferenceEngine.Start(new() { PrefixCaching = prefixCaching }, executor);
        executor.Hold(); // Until all are there: the first would be done before the last comes.
        var handles = requests.Select(engine.Submit).ToArray();
        executor.Release();

        var results = await Task.WhenAll(handles.Select(handle => handle.ReadAll()));

        Assert.True(engine.Load.Preemptions > 0, "The pool was not small enough to preempt anything.");
        for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        Assert.Equal(0, engine.Load.KvBlocksUsed);
    }

    [Theory, MemberData(nameof(EngineHarness.DepthsWith), new[] { 1, 23, 39 }, MemberType = typeof(EngineHarness))]
    public async Task Generate_ReplayedAfterTokens_GoesOnAsUninterrupted(int depth, int delivered)
    {
        var whole = await EngineHarness.Alone(Probe);
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { StepsInFlight = depth }));

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

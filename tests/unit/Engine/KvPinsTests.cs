using Granary.Engine;
using Granary.Engine.Kv;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>A pinned prefix stays, as long as its lease and as nobody needs the blocks.</summary>
public sealed class KvPinsTests
{
    private const int BlockTokens = 16;

    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(1);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 20)];

    [Fact]
    public async Task PinAsync_OthersFillTheCache_KeepsThePrefix()
    {
        var clock = new ManualTime();
        await using var engine = Start(clock);
        var (pinned, loose) = (Prompt(1, 64), Prompt(2, 64));
        foreach (var prompt in (int[][])[pinned, loose]) await engine.Submit(EngineHarness.Request(prompt, 1)).ReadAll();

        Assert.Equal(64, await engine.PinAsync("session", pinned, null, Lease));
        Assert.Equal((4, 0), (engine.Load.KvBlocksPinned, engine.Load.KvBlocksUsed));
        await FillAsync(engine);

        Assert.Equal(64, await CachedAsync(engine, [.. pinned, 1]));
        Assert.Equal(0, await CachedAsync(engine, [.. loose, 1]));
    }

    [Fact]
    public async Task PinAsync_NotCachedOrOtherSalt_PinsNothing()
    {
        await using var engine = Start(new ManualTime());
        await engine.Submit(EngineHarness.Request(Prompt(1, 64), 1)).ReadAll();

        Assert.Equal(0, await engine.PinAsync("a", Prompt(2, 64), null, Lease));
        Assert.Equal(0, await engine.PinAsync("b", Prompt(1, 64), "salt", Lease));
        Assert.Equal(48, await engine.PinAsync("c", Prompt(1, 63), null, Lease));
        Assert.Equal(64, await engine.PinAsync("c", [.. Prompt(1, 64), .. Prompt(3, 64)], null, Lease));
        Assert.Equal(4, engine.Load.KvBlocksPinned);
    }

    [Fact]
    public async Task Unpin_Owner_LetsGoOfItsBlocksOnly()
    {
        await using var engine = Start(new ManualTime());
        await engine.Submit(EngineHarness.Request(Prompt(1, 64), 1)).ReadAll();
        await engine.PinAsync("a", Prompt(1, 64), null, Lease);
        await engine.PinAsync("b", Prompt(1, 32), null, Lease);

        engine.Unpin("a");
        engine.Unpin("nobody");
        await engine.PinAsync("nothing", [1], null, Lease); // Comes after.

        Assert.Equal(2, engine.Load.KvBlocksPinned);
        await FillAsync(engine);
        Assert.Equal(32, await CachedAsync(engine, Prompt(1, 64)));
    }

    /// <summary>The timer wakes an engine that nobody else would.</summary>
    [Fact]
    public async Task Lease_EndsWhileIdle_LetsGo()
    {
        var clock = new ManualTime();
        await using var engine = Start(clock);
        foreach (var stem in (int[])[1, 2]) await engine.Submit(EngineHarness.Request(Prompt(stem, 64), 1)).ReadAll();
        await engine.PinAsync("short", Prompt(1, 64), null, Lease);
        await engine.PinAsync("long", Prompt(2, 64), null, 2 * Lease);
        await engine.PinAsync("renewed", Prompt(1, 32), null, Lease);
        await engine.PinAsync("renewed", Prompt(1, 32), null, 3 * Lease);

        foreach (var left in (int[])[6, 2, 0])
        {
            await clock.ArmedFor((3 - (left == 6 ? 2 : left == 2 ? 1 : 0)) * Lease).WaitAsync(EngineHarness.Patience);
            clock.Advance(Lease);
            Assert.True(SpinWait.SpinUntil(() => engine.Load.KvBlocksPinned == left, EngineHarness.Patience), $"{engine.Load.KvBlocksPinned} are pinned.");
        }
    }

    [Fact]
    public async Task PinAsync_BeyondTheBudget_TakesFromWhoRenewedLongestAgo()
    {
        await using var engine = Start(new ManualTime()); // 32 blocks, 16 for pins.
        foreach (var stem in (int[])[1, 2, 3]) await engine.Submit(EngineHarness.Request(Prompt(stem, 112), 1)).ReadAll();
        foreach (var stem in (int[])[1, 2, 1, 3]) Assert.Equal(112, await engine.PinAsync($"{stem}", Prompt(stem, 112), null, Lease));

        Assert.Equal(14, engine.Load.KvBlocksPinned);
        await FillAsync(engine);
        foreach (var stem in (int[])[1, 3, 2]) Assert.Equal(stem == 2 ? 0 : 112, await CachedAsync(engine, [.. Prompt(stem, 112), 1]));
    }

    /// <summary>A sequence that needs all blocks gets them, and nobody is preempted for a pin.</summary>
    [Fact]
    public async Task Generate_NeedsPinnedBlocks_GetsThemWithoutPreemption()
    {
        await using var engine = Start(new ManualTime());
        foreach (var stem in (int[])[1, 2]) await engine.Submit(EngineHarness.Request(Prompt(stem, 112), 1)).ReadAll();
        foreach (var stem in (int[])[1, 2]) await engine.PinAsync($"{stem}", Prompt(stem, 112), null, Lease);

        await engine.Submit(EngineHarness.Request(Prompt(3, 240), 80)).ReadAll(); // Grows from 15 blocks to 20.
        Assert.Equal(7, engine.Load.KvBlocksPinned); // The first had to go.
        Assert.Equal(512 - 1, (await engine.Submit(EngineHarness.Request(Prompt(4, 1), 1000)).ReadAll()).Count);

        Assert.Equal((0, 0, 0), (engine.Load.KvBlocksPinned, engine.Load.KvBlocksUsed, engine.Load.Preemptions));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(25)]
    public async Task PinAsync_LeaseOutOfBounds_IsRefusedWithThem(int hours)
    {
        await using var engine = Start(new ManualTime());
        var error = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => engine.PinAsync("a", [1], null, TimeSpan.FromHours(hours)));
        Assert.StartsWith("lease is", error.Message);
    }

    [Fact]
    public async Task PinAsync_EngineHasEnded_PinsNothing()
    {
        var engine = Start(new ManualTime());
        await engine.DisposeAsync();
        Assert.Equal(0, await engine.PinAsync("a", [1], null, Lease));
    }

    /// <summary>Whatever is pinned, used and let go: counts are what they should be, and nothing stays behind.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOperationSequence_CountsBlocksRight(int seed)
    {
        var random = new Random(seed);
        var cache = new KvCache(20, 4, shared: true);
        var pins = new KvPins(cache, budget: 8);
        var now = ManualTime.Start;
        var live = new List<BlockTable>();
        for (var step = 0; step < 1000; step++)
        {
            var tokens = Enumerable.Range(0, random.Next(1, 24)).Select(_ => random.Next(2)).ToArray();
            switch (random.Next(5))
            {
                case 0 when live.Count > 0:
                    cache.Release(live[0]);
                    live.RemoveAt(0);
                    break;
                case 1:
                    var pinned = pins.Add($"{random.Next(6)}", tokens, null, now.AddSeconds(random.Next(1, 20)));
                    Assert.InRange(pinned, 0, tokens.Length);
                    break;
                case 2:
                    pins.Remove($"{random.Next(6)}");
                    break;
                case 3:
                    pins.EndLeases(now = now.AddSeconds(1));
                    Assert.True(pins.NextEnd > now);
                    break;
                default:
                    var table = new BlockTable(null);
                    cache.AcquirePrefix(table, tokens);
                    var missing = cache.BlocksFor(tokens.Length) - table.Count;
                    var fits = missing <= cache.FreeCount + cache.PinnedOnlyCount;
                    Assert.Equal(fits, pins.TryFree(missing));
                    Assert.Equal(fits, cache.TryGrow(table, tokens.Length));
                    cache.Share(table, tokens, fits ? tokens.Length : 0);
                    if (fits) live.Add(table);
                    else cache.Release(table);
                    break;
            }

            var used = live.SelectMany(sequence => sequence.Blocks.ToArray()).Distinct().Count();
            Assert.Equal(used, cache.UsedCount - cache.PinnedOnlyCount);
            Assert.InRange(cache.PinnedCount, 0, 8);
        }

        foreach (var table in live) cache.Release(table);
        Assert.Equal(cache.PinnedCount, cache.UsedCount);
        pins.EndLeases(DateTimeOffset.MaxValue);
        Assert.Equal((20, 0, 0), (cache.FreeCount, cache.PinnedCount, cache.PinnedOnlyCount));
    }

    private static InferenceEngine Start(ManualTime clock) =>
        InferenceEngine.Start(new(), new SimulatedExecutor(new() { KvBlockCount = 32, KvBlockTokens = BlockTokens }), clock);

    private static int[] Prompt(int stem, int length) => EngineHarness.RandomPrompt(new(stem), length);

    private static async Task<int> CachedAsync(InferenceEngine engine, int[] prompt) =>
        (await engine.Submit(EngineHarness.Request(prompt, 1)).ReadAll())[0].CachedPromptTokens;

    /// <summary>Takes every block that is free once.</summary>
    private static async Task FillAsync(InferenceEngine engine)
    {
        var free = engine.Load.KvBlocksTotal - engine.Load.KvBlocksPinned;
        await engine.Submit(EngineHarness.Request(Prompt(99, free * BlockTokens - 1), 1)).ReadAll();
    }
}

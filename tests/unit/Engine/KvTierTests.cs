using Granary.Engine;
using Granary.Engine.Kv;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>Blocks that leave the device and come back change no token; what comes back wrong, or not at all, is computed again.</summary>
public sealed class KvTierTests
{
    private const int BlockTokens = 16;
    private const int BlockBytes = 8 * BlockTokens;

    /// <summary>Steps in flight, and slots of the disk; 0 for none.</summary>
    public static TheoryData<int, int> Cases => new() { { 1, 0 }, { 1, 24 }, { 2, 0 }, { 3, 24 }, { 1, 1000 }, { 4, 1000 } };

    [Theory, MemberData(nameof(Cases))]
    public async Task Generate_PrefixesGoOutAndComeBack_EqualsAlone(int depth, int slots)
    {
        var random = new Random(depth);
        var stems = Enumerable.Range(0, 12).Select(_ => EngineHarness.RandomPrompt(random, 100)).ToArray();
        var file = slots > 0 ? new MemorySlots(slots) : null;
        await using var engine = Start(depth, hostBlocks: slots > 0 ? 20 : 200, file);

        for (var round = 0; round < 4; round++)
        {
            var requests = stems.Select((stem, i) => EngineHarness.Request([.. stem, .. EngineHarness.RandomPrompt(random, 5 + round)], 30, 1, (ulong)i)).ToArray();
            random.Shuffle(requests);
            var results = await Task.WhenAll(requests.Select(engine.Submit).ToArray().Select(handle => handle.ReadAll()));
            for (var i = 0; i < requests.Length; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(results[i]));
        }

        var load = engine.Load;
        Assert.Equal((0, 0), (load.KvBlocksUsed, load.KvTierCorrupt));
        Assert.True(load.KvTierHits > 20 * BlockTokens, $"only {load.KvTierHits} tokens came back");
        Assert.Equal((slots > 0 ? 20 : 200) * BlockBytes, load.KvHostBytes);
        Assert.InRange(load.KvHostBytesTouched, BlockBytes, load.KvHostBytes);
        if (file is not null) Assert.True(file.Writes > 0, "nothing went to the disk");
    }

    [Fact]
    public async Task AcquirePrefix_HostHasIt_TakesItBackAndTellsBothTiers()
    {
        await using var engine = Start();
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        await GenerateAsync(engine, prompt);
        await FillAsync(engine);
        Assert.DoesNotContain(Held(engine, KvBlockTier.Device), Names(prompt).Contains);
        Assert.Subset(Held(engine, KvBlockTier.Host), Names(prompt).ToHashSet());

        var tokens = await GenerateAsync(engine, prompt);

        Assert.Equal(96, tokens[0].CachedPromptTokens);
        Assert.Equal((96, 0), (engine.Load.KvTierHits, engine.Load.KvTierCorrupt));
        Assert.Subset(Held(engine, KvBlockTier.Device), Names(prompt).ToHashSet());
        Assert.Subset(Held(engine, KvBlockTier.Host), Names(prompt).ToHashSet());
    }

    /// <summary>The copy stays in the host's memory, and is not made again when the block goes out again.</summary>
    [Fact]
    public async Task GiveUp_CopyIsThere_CopiesNothing()
    {
        await using var engine = Start();
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        for (var round = 0; round < 4; round++)
        {
            await GenerateAsync(engine, prompt);
            await FillAsync(engine, seed: 10 + round);
        }

        var bytes = engine.Load.KvTierBytes;
        await GenerateAsync(engine, prompt);
        await FillAsync(engine, seed: 14);

        // Six blocks came in, and the 31 went out that filled the device before.
        Assert.Equal(6 + 31, (engine.Load.KvTierBytes - bytes) / BlockBytes);
        Assert.Equal(4 * 96, engine.Load.KvTierHits);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(3, 48)]
    public async Task AcquirePrefix_BitHasFlipped_ComputesTheRestAgain(int block, int cached)
    {
        await using var engine = Start();
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        var expected = EngineHarness.Ids(await GenerateAsync(engine, prompt));
        await FillAsync(engine);
        engine.Host!.FlipBit(engine.Host.Find(Name(prompt, block)));

        var tokens = await GenerateAsync(engine, prompt);

        Assert.Equal(cached, tokens[0].CachedPromptTokens);
        Assert.Equal(expected, EngineHarness.Ids(tokens));
        Assert.Equal(1, engine.Load.KvTierCorrupt);
    }

    [Fact]
    public async Task AcquirePrefix_DiskHasIt_ComesByWayOfTheHost()
    {
        var file = new MemorySlots(100);
        await using (var engine = Start(hostBlocks: 32, file: file))
        {
            var prompt = EngineHarness.RandomPrompt(new(1), 100);
            var expected = EngineHarness.Ids(await GenerateAsync(engine, prompt));
            await ToDiskAsync(engine, file, prompt);

            var tokens = await GenerateAsync(engine, prompt);

            Assert.Equal((96, 96), (tokens[0].CachedPromptTokens, engine.Load.KvTierHits));
            Assert.Equal(expected, EngineHarness.Ids(tokens));
            Assert.Subset(Held(engine, KvBlockTier.Disk), Names(prompt).ToHashSet());
        }

        Assert.True(file.IsDisposed);
    }

    [Theory]
    [InlineData("flipped")]
    [InlineData("failed")]
    public async Task AcquirePrefix_DiskGivesNothingOfUse_IsComputedAgain(string how)
    {
        var file = new MemorySlots(100);
        await using var engine = Start(hostBlocks: 32, file: file);
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        var expected = EngineHarness.Ids(await GenerateAsync(engine, prompt));
        await ToDiskAsync(engine, file, prompt);
        (file.FlipBits, file.FailReads) = (how == "flipped", how == "failed");

        var tokens = await GenerateAsync(engine, prompt);

        Assert.Equal(0, tokens[0].CachedPromptTokens);
        Assert.Equal(expected, EngineHarness.Ids(tokens));
        // The disk's own thread may have the last of the six in hand still.
        Assert.True(SpinWait.SpinUntil(() => engine.Load.KvTierCorrupt == 6, EngineHarness.Patience), $"{engine.Load.KvTierCorrupt} of 6 are of no use.");
    }

    /// <summary>Who waits for the disk holds up nobody, neither the steps nor those behind it.</summary>
    [Fact]
    public async Task Fetch_DiskIsSlow_OthersGoOn()
    {
        var file = new MemorySlots(100);
        await using var engine = Start(hostBlocks: 32, file: file);
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        await GenerateAsync(engine, prompt);
        await ToDiskAsync(engine, file, prompt);
        file.HoldReads();

        var waiting = engine.Submit(EngineHarness.Request(prompt, 5));
        await file.ReadAsked.WaitAsync(EngineHarness.Patience);
        Assert.Equal(20, (await engine.Submit(EngineHarness.Request([1, 2, 3], 20)).ReadAll()).Count);
        Assert.Equal((1, 0), (engine.Load.WaitingSequences, engine.Load.RunningSequences));
        file.Release();

        Assert.Equal(96, (await waiting.ReadAll())[0].CachedPromptTokens);
    }

    [Fact]
    public async Task Fetch_SequenceCancelledMeanwhile_LeavesNothingBehind()
    {
        var file = new MemorySlots(100);
        await using var engine = Start(hostBlocks: 32, file: file);
        var prompt = EngineHarness.RandomPrompt(new(1), 100);
        await GenerateAsync(engine, prompt);
        await ToDiskAsync(engine, file, prompt);
        file.HoldReads();
        var waiting = engine.Submit(EngineHarness.Request(prompt, 5));
        await file.ReadAsked.WaitAsync(EngineHarness.Patience);

        await waiting.DisposeAsync().AsTask().WaitAsync(EngineHarness.Patience);
        file.Release();

        Assert.Equal(96, (await GenerateAsync(engine, prompt))[0].CachedPromptTokens);
    }

    /// <summary>A disk that is behind, or full, costs copies and nothing else.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Keep_DiskDoesNotKeepUp_DropsWhatItCannotTake(bool held)
    {
        var file = new MemorySlots(1000) { FailWrites = !held };
        await using var engine = Start(hostBlocks: 8, file: file);
        if (held) file.Hold();
        for (var i = 0; i < 10; i++) await GenerateAsync(engine, EngineHarness.RandomPrompt(new(i), 200));
        file.Release();
        await FillAsync(engine);

        Assert.Equal(0, engine.Load.KvTierCorrupt);
        Assert.InRange(file.Writes, 0, 80); // Of a hundred and sixty: those that had one of 32 buffers, and the thirty-odd that left when it went on.
    }

    [Fact]
    public async Task Start_ExecutorHasNoBlockStore_HasNoTiers()
    {
        var file = new MemorySlots(10);
        await using var engine = InferenceEngine.Start(
            new() { HostCacheBytes = 1 << 20 }, new SummarizingExecutor(new SimulatedExecutor(new()), 0), disk: file);
        Assert.Null(engine.Host);
        Assert.True(file.IsDisposed);
    }

    private static InferenceEngine Start(int depth = 1, int hostBlocks = 200, MemorySlots? file = null) => InferenceEngine.Start(
        new() { HostCacheBytes = hostBlocks * BlockBytes }, new SimulatedExecutor(new() { KvBlockCount = 32, StepsInFlight = depth }), disk: file);

    private static Task<List<GeneratedToken>> GenerateAsync(InferenceEngine engine, int[] prompt) =>
        engine.Submit(EngineHarness.Request(prompt, 5)).ReadAll();

    /// <summary>Takes every block of the device once.</summary>
    private static Task<List<GeneratedToken>> FillAsync(InferenceEngine engine, int seed = 99) => GenerateAsync(engine, EngineHarness.RandomPrompt(new(seed), 32 * BlockTokens - 5));

    /// <summary>Moves a prompt's blocks out of the device and of the host's memory.</summary>
    private static async Task ToDiskAsync(InferenceEngine engine, MemorySlots file, int[] prompt)
    {
        for (var i = 0; Held(engine, KvBlockTier.Host).Concat(Held(engine, KvBlockTier.Device)).Any(Names(prompt).Contains); i++)
        {
            Assert.True(i < 10, "The prompt does not leave the memory.");
            await FillAsync(engine, 100 + i);
        }

        Assert.True(SpinWait.SpinUntil(() => Names(prompt).All(Held(engine, KvBlockTier.Disk).Contains), EngineHarness.Patience), "It does not come to the disk.");
        Assert.True(file.Writes >= 6);
    }

    private static ulong[] Names(int[] prompt) => GrainInterfaces.Routing.PromptBlocks.Of(prompt);

    private static UInt128 Name(int[] prompt, int block)
    {
        var name = BlockHash.Root(null);
        for (var i = 0; i <= block; i++) name = BlockHash.Next(name, prompt.AsSpan(i * BlockTokens, BlockTokens));
        return name;
    }

    /// <summary>What a tier holds, by the engine's events.</summary>
    private static HashSet<ulong> Held(InferenceEngine engine, KvBlockTier tier)
    {
        var batch = engine.ReadKvEvents(0);
        var held = new HashSet<ulong>();
        var place = 0;
        foreach (var run in batch.Runs)
        {
            if (run.Tier == tier) held.UnionWith(batch.Blocks.AsSpan(place, run.Count).ToArray());
            place += run.Count;
        }

        return held;
    }
}

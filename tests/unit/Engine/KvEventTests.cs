using Granary.Engine;
using Granary.Engine.Kv;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Routing;

namespace Granary.Tests.Unit.Engine;

/// <summary>Who reads the events of a KV cache, whenever and from wherever, knows what it holds.</summary>
public sealed class KvEventTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 20)];

    [Fact]
    public void Read_EventsFromANumber_HasThemInRuns()
    {
        var log = new KvEventLog(16);
        log.Reserve(KvBlockTier.Device, 4);
        log.Reserve(KvBlockTier.Host, 4);
        log.Stored(KvBlockTier.Device, 0, 10);
        log.Stored(KvBlockTier.Device, 1, new UInt128(5, 11));
        log.Stored(KvBlockTier.Host, 1, 10);
        log.Removed(KvBlockTier.Device, 0);
        log.Stored(KvBlockTier.Device, 0, 12);

        var batch = log.Read(1);

        Assert.Equal((1, 5, false), (batch.First, batch.Next, batch.IsSnapshot));
        Assert.Equal([11, 10, 10, 12], batch.Blocks);
        Assert.Equal(
            [
                new(true, KvBlockTier.Device, 1), new(true, KvBlockTier.Host, 1), new(false, KvBlockTier.Device, 1), new KvEventRun(true, KvBlockTier.Device, 1),
            ], batch.Runs);
        Assert.Empty(log.Read(5).Blocks);
        Assert.Equal((5, 5, false), (log.Read(5).First, log.Read(5).Next, log.Read(5).IsSnapshot));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(3)] // Written over.
    [InlineData(21)] // Never told.
    public void Read_NumberNotRemembered_GivesASnapshot(long from)
    {
        var log = new KvEventLog(16);
        log.Reserve(KvBlockTier.Device, 30);
        for (var i = 0; i < 20; i++) log.Stored(KvBlockTier.Device, i, (UInt128)i);

        var batch = log.Read(from);

        Assert.Equal((0, 20, true), (batch.First, batch.Next, batch.IsSnapshot));
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (ulong)i), batch.Blocks);
        Assert.Equal([new KvEventRun(true, KvBlockTier.Device, 20)], batch.Runs);
        Assert.False(log.Read(4).IsSnapshot);
    }

    [Fact]
    public void Read_MoreThanABatch_TellsWhereItGoesOn()
    {
        var log = new KvEventLog();
        log.Reserve(KvBlockTier.Device, 20_000);
        for (var i = 0; i < 20_000; i++) log.Stored(KvBlockTier.Device, i, (UInt128)i);

        var first = log.Read(1);
        var second = log.Read(first.Next);

        Assert.Equal((KvEventBatch.MaxBlocks, 1L + KvEventBatch.MaxBlocks), (first.Blocks.Length, first.Next));
        Assert.Equal((20_000, 20_000 - 1 - KvEventBatch.MaxBlocks), (second.Next, second.Blocks.Length));
    }

    /// <summary>Whatever a cache stores and gives up, watchers that look now and then, or too late, come to the same set.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOperationSequence_WatchersKnowWhatIsHeld(int seed)
    {
        var random = new Random(seed);
        var log = new KvEventLog(32);
        var cache = new KvCache(12, 4, shared: true, events: log);
        var (often, seldom) = (new Watcher(), new Watcher());
        var live = new List<BlockTable>();
        for (var step = 0; step < 1000; step++)
        {
            if (live.Count > 0 && random.Next(2) == 0)
            {
                cache.Release(live[0]);
                live.RemoveAt(0);
            }
            else
            {
                var tokens = Enumerable.Range(0, random.Next(1, 18)).Select(_ => random.Next(2)).ToArray();
                var table = new BlockTable(null);
                cache.AcquirePrefix(table, tokens);
                if (!cache.TryGrow(table, tokens.Length))
                {
                    cache.Release(table);
                    continue;
                }

                cache.Share(table, tokens, tokens.Length);
                live.Add(table);
            }

            often.Read(log);
            if (random.Next(30) == 0) seldom.Read(log);
            Assert.Equal(cache.CachedCount, often.Blocks.Count);
        }

        seldom.Read(log);
        Assert.Equal(often.Blocks, seldom.Blocks);
        Assert.Equal(log.Read(0).Blocks.Order(), often.Blocks.Order());
        Assert.True(often.Snapshots == 1 && seldom.Snapshots > 1, $"{often.Snapshots} and {seldom.Snapshots} snapshots were taken");
    }

    /// <summary>Engines and those who send them prompts give blocks the same names.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("a tenant's salt")]
    public async Task ReadKvEvents_AfterAPrompt_HasTheNamesThatCallersCompute(string? salt)
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new()));
        var prompt = EngineHarness.RandomPrompt(new(3), 100);
        Assert.Equal((0, true), (engine.ReadKvEvents(0).Next, engine.ReadKvEvents(0).IsSnapshot));

        await engine.Submit(EngineHarness.Request(prompt, 1) with { CacheSalt = salt }).ReadAll();

        var batch = engine.ReadKvEvents(0);
        Assert.Equal(PromptBlocks.Of(prompt, salt), batch.Blocks);
        Assert.Equal(6, batch.Next);
        Assert.Equal(batch.Blocks[2..], engine.ReadKvEvents(2).Blocks);
    }

    /// <summary>Whoever reads while the engine works sees no gap and no repetition.</summary>
    [Fact]
    public async Task ReadKvEvents_WhileTheEngineWorks_AddsUp()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { KvBlockCount = 24 }));
        var watcher = new Watcher();
        var work = Task.Run(async () =>
        {
            var random = new Random(4);
            for (var i = 0; i < 200; i++) await engine.Submit(EngineHarness.Request(EngineHarness.RandomPrompt(random, random.Next(1, 200), 2), 20)).ReadAll();
        });
        while (!work.IsCompleted)
        {
            watcher.Read(engine.ReadKvEvents);
            await Task.Yield(); // A reader that did nothing else would keep the engine from its own log.
        }

        await work;
        watcher.Read(engine.ReadKvEvents);

        Assert.Equal(engine.ReadKvEvents(0).Blocks.Order(), watcher.Blocks.Order());
    }

    /// <summary>Follows events as a router does.</summary>
    private sealed class Watcher
    {
        private long _next;

        public HashSet<ulong> Blocks { get; } = [];

        public int Snapshots { get; private set; }

        public void Read(KvEventLog log) => Read(log.Read);

        public void Read(Func<long, KvEventBatch> source)
        {
            var batch = source(_next);
            if (batch.IsSnapshot)
            {
                Snapshots += batch.Next > 0 ? 1 : 0;
                Blocks.Clear();
            }
            else
            {
                Assert.Equal(_next, batch.First);
                Assert.Equal(batch.Next - batch.First, batch.Blocks.Length);
            }

            Assert.Equal(batch.Blocks.Length, batch.Runs.Sum(run => run.Count));
            var place = 0;
            foreach (var run in batch.Runs)
            {
                for (var i = 0; i < run.Count; i++, place++) Assert.True(run.IsStored ? Blocks.Add(batch.Blocks[place]) : Blocks.Remove(batch.Blocks[place]));
            }

            _next = batch.Next;
        }
    }
}

using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Kv;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Grains.Replicas;
using Granary.Tests.Cluster.Grains;
using Granary.Tests.Support;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>What those who watch a replica hear of it, and when.</summary>
public sealed class WatchTests : IAsyncLifetime
{
    private readonly ManualTime _time = new();
    private InferenceEngine _engine = null!; // Set before each test.
    private HostedReplica _replica = null!;
    private NewsFeed _feed = null!;

    public Task InitializeAsync()
    {
        _engine = InferenceEngine.Start(new EngineOptions(), new SimulatedExecutor(new SimulatedDevice()));
        _replica = new HostedReplica(new ReplicaSpec("m/0", "m", 1, 0), 7, new LoadedReplica(_engine, FrozenSet<int>.Empty));
        _feed = new NewsFeed(_replica, _time);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _engine.DisposeAsync();

    [Fact]
    public async Task WatchAsync_KnowsNothing_IsToldAtOnceAndThenWaitsForTheHeartbeat()
    {
        var first = await WatchAsync(0);
        Assert.Equal((0, 1, true), (first.Kv.First, first.Kv.Next, first.Kv.IsSnapshot));
        Assert.Equal(7, first.Load.Epoch);

        _time.Advance(ReplicaWatch.Pause);
        var second = WatchAsync(first.Kv.Next);
        var beats = ReplicaWatch.Heartbeat / ReplicaWatch.Pause;
        for (var beat = 1; beat < beats; beat++) _time.Advance(ReplicaWatch.Pause);
        Assert.False(second.IsCompleted);
        _time.Advance(ReplicaWatch.Pause);

        Assert.Empty((await second.WaitAsync(GrainsFixture.Patience)).Kv.Blocks);
        Assert.Equal(0, _time.ActiveTimers); // Nobody waits.
    }

    [Fact]
    public async Task WatchAsync_BlocksAreStored_TellsTheirNamesInOrderAtTheNextBeat()
    {
        var (one, other) = (GrainsFixture.Prompt(1, 81), GrainsFixture.Prompt(2, 49));
        await GenerateAsync(one);
        var known = (await WatchAsync(0)).Kv.Next;
        _time.Advance(ReplicaWatch.Pause);
        var watches = Enumerable.Range(0, 3).Select(_ => WatchAsync(known)).ToArray();

        await GenerateAsync(other);
        Assert.All(watches, watch => Assert.False(watch.IsCompleted));
        _time.Advance(ReplicaWatch.Pause);

        foreach (var watch in watches)
        {
            var kv = (await watch.WaitAsync(GrainsFixture.Patience)).Kv;
            Assert.Equal((known, known + 3, false), (kv.First, kv.Next, kv.IsSnapshot));
            Assert.Equal([new KvRun(true, KvTier.Device, 3)], kv.Runs);
            Assert.Equal(PromptBlocks.Of(other), kv.Blocks);
        }
    }

    [Fact]
    public async Task WatchAsync_NumberOfAnotherLife_GetsASnapshot()
    {
        var prompt = GrainsFixture.Prompt(1, 81);
        await GenerateAsync(prompt);
        var lost = WatchAsync(1_000_000);
        _time.Advance(ReplicaWatch.Pause);

        var kv = (await lost.WaitAsync(GrainsFixture.Patience)).Kv;

        Assert.True(kv.IsSnapshot);
        Assert.Equal(PromptBlocks.Of(prompt).Order(), kv.Blocks.Order());
    }

    [Fact]
    public async Task WatchAsync_LoadChangesBetweenTwoWatches_IsTold()
    {
        var known = (await WatchAsync(0)).Kv.Next;
        _time.Advance(ReplicaWatch.Pause);
        var before = WatchAsync(known);
        var stay = _replica.TryEnter(); // As a sequence that waits.

        _time.Advance(ReplicaWatch.Pause);
        Assert.Equal(1, (await before.WaitAsync(GrainsFixture.Patience)).Load.WaitingSequences);

        stay!.Dispose(); // Nobody watches at this moment.
        var after = WatchAsync(known);
        _time.Advance(ReplicaWatch.Pause);
        Assert.Equal(0, (await after.WaitAsync(GrainsFixture.Patience)).Load.WaitingSequences);
    }

    [Fact]
    public async Task WatchAsync_DrainingBegins_IsToldAtOnce()
    {
        var watch = WatchAsync((await WatchAsync(0)).Kv.Next);

        _ = _replica.DrainAsync();

        Assert.True((await watch.WaitAsync(GrainsFixture.Patience)).Load.IsDraining);
    }

    [Fact]
    public async Task WaitAsync_LifeEnds_ReturnsAtOnceAndLeavesNothing()
    {
        var waiting = _feed.WaitAsync(1, CancellationToken.None);
        _replica.End(null);

        Assert.True(await waiting.WaitAsync(GrainsFixture.Patience));
        Assert.True(await _feed.WaitAsync(1, CancellationToken.None).WaitAsync(GrainsFixture.Patience));
        Assert.Equal(0, _time.ActiveTimers);
    }

    [Fact]
    public async Task WaitAsync_MoreThanMay_IsRefusedUntilOneLeaves()
    {
        using var leaving = new CancellationTokenSource();
        var first = _feed.WaitAsync(1, leaving.Token);
        for (var i = 1; i < NewsFeed.MaxWatchers; i++) _ = _feed.WaitAsync(1, CancellationToken.None);

        Assert.False(await _feed.WaitAsync(1, CancellationToken.None));
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);

        Assert.False(_feed.WaitAsync(1, CancellationToken.None).IsCompleted);
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 10)];

    /// <summary>Whatever the runs, the pages of a snapshot are the snapshot, each begins where the one before ends, and events follow the last.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Pages_OfAnySnapshot_AreItsBlocksInOrder(int seed)
    {
        var random = new Random(seed);
        var runs = Enumerable.Range(0, 3).Select(tier => new KvEventRun(true, (KvBlockTier)tier, random.Next(1, 2 * KvEvents.MaxBlocks))).ToArray();
        var batch = new KvEventBatch
        {
            First = 0,
            Next = 123,
            IsSnapshot = true,
            Runs = runs,
            Blocks = [.. Enumerable.Range(0, runs.Sum(run => run.Count)).Select(_ => (ulong)random.NextInt64())],
        };
        var pages = new SnapshotPages();

        var page = pages.Split(batch);
        var (blocks, tiers) = (page.Blocks.ToList(), page.Runs.ToList());
        Assert.True(page.IsSnapshot);
        while (page.Next < 0)
        {
            var next = pages.Find(page.Next);
            Assert.NotNull(next);
            Assert.Equal((page.Next, false), (next.First, next.IsSnapshot));
            page = next;
            Assert.Equal(page.Blocks.Length, page.Runs.Sum(run => run.Count));
            Assert.InRange(page.Blocks.Length, 1, KvEvents.MaxBlocks);
            blocks.AddRange(page.Blocks);
            tiers.AddRange(page.Runs);
        }

        Assert.Equal(124, page.Next);
        Assert.Equal(batch.Blocks, blocks);
        foreach (var run in runs) Assert.Equal(run.Count, tiers.Where(part => part.Tier == (KvTier)run.Tier).Sum(part => part.Count));
    }

    [Fact]
    public void Pages_OfASnapshotThatIsKeptNoMore_AreNotFound()
    {
        var pages = new SnapshotPages();
        var batch = new KvEventBatch { First = 0, Next = 1, IsSnapshot = true, Runs = [new(true, KvBlockTier.Device, KvEvents.MaxBlocks + 1)], Blocks = new ulong[KvEvents.MaxBlocks + 1] };
        var oldest = pages.Split(batch);

        for (var i = 1; i < SnapshotPages.MaxSnapshots; i++) pages.Split(batch);
        Assert.NotNull(pages.Find(oldest.Next));
        pages.Split(batch);

        Assert.Null(pages.Find(oldest.Next));
        Assert.Null(pages.Find(oldest.Next - 1)); // There is no third page either.
        Assert.Null(pages.Find(long.MinValue));
        Assert.True(_feed.Read(oldest.Next).Kv.IsSnapshot);
    }

    private async Task<ReplicaNews> WatchAsync(long next)
    {
        Assert.True(await _feed.WaitAsync(next, CancellationToken.None));
        return _feed.Read(next);
    }

    private async Task GenerateAsync(int[] prompt)
    {
        await using var sequence = _engine.TrySubmit(
            new EngineRequest { RequestId = "r", PromptTokenIds = prompt, Sampling = new SamplingParameters { MaxTokens = 1, Temperature = 0 } }, out var refusal)
            ?? throw new InvalidOperationException(refusal?.Message);
        do
        {
            while (sequence.TryRead(out _))
            {
            }
        }
        while (await sequence.WaitToReadAsync());
    }
}

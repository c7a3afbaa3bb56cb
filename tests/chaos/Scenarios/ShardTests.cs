using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Tests.Support;

namespace Granary.Tests.Chaos;

/// <summary>A replica that is cut into two stages of two ranks loses one of its shards: 6 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class ShardTests
{
    private static readonly LinkOptions Links = new() { ClusterSecret = RandomNumberGenerator.GetBytes(32) };

    /// <summary>Real links, runners and steps over shards that compute little; any one of the four is lost in the middle of streams.</summary>
    [SimulatedFact]
    public async Task Shard_LostMidStream_EveryAnswerIsExact()
    {
        var model = new SimulatedModel();
        using var folder = new TemporaryFolder();
        var (transports, opened) = (new ConcurrentDictionary<string, FaultyTransport[]>(), 0);
        var options = new ChaosOptions
        {
            Silos = 3,
            Alone = () => new ShardAlone(new SimulatedShard(model, model.Cut(1, 1)[0], 1, null)),
            Open = OpenAsync,
        };
        await Scenario.RunAsync(
            "a shard of the replica of Silo_1 is lost",
            async (cluster, random) =>
            {
                using var continuations = new Continuations();
                var run = await LoadRun.StartAsync(cluster, random, sequences: 24);
                await cluster.DelayAsync(TimeSpan.FromSeconds(0.4));
                Assert.True(transports.First(replica => replica.Key.StartsWith("Silo_1/", StringComparison.Ordinal)).Value[random.Next(4)].Cut(_ => true) > 0);
                await run.FinishAsync();
                Assert.True(continuations.Losses > 0, "Nobody was reading from that replica: the scenario shows nothing.");
            },
            options);

        async Task<(IStepExecutor, IAsyncDisposable?)> OpenAsync(string replicaId, ProcessTime clock)
        {
            var life = Interlocked.Increment(ref opened);
            FaultyTransport[] ends = [.. Enumerable.Range(0, 5).Select(_ => new FaultyTransport(Links, TimeProvider.System))];
            transports[replicaId] = ends;
            var shards = await ShardCluster.StartAsync(
                model.Cut(2, 2), (slice, reducer) => new SimulatedShard(model, slice, 2, reducer), n => ends[n],
                n => $"unix:{Path.Combine(folder.Path, string.Create(CultureInfo.InvariantCulture, $"{life}.{n}"))}");
            return (new PacedExecutor(shards.Executor, clock), shards);
        }
    }

    /// <summary>Steps that take time.</summary>
    private sealed class PacedExecutor(IStepExecutor inner, ProcessTime clock) : IStepExecutor
    {
        public ExecutorShape Shape => inner.Shape;

        public Task? Lost => inner.Lost;

        public void Begin(StepPlan plan) => inner.Begin(plan);

        public StepOutput End()
        {
            clock.Wait(TimeSpan.FromMilliseconds(6));
            return inner.End();
        }

        public void Dispose() => inner.Dispose();
    }
}

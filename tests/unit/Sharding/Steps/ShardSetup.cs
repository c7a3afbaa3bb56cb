using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Tests.Support;
using Granary.Tests.Unit.Engine;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>A replica of simulated shards over faulty links.</summary>
internal sealed class ShardSetup : IAsyncDisposable
{
    /// <summary>Longer than a crowded machine keeps a thread from running.</summary>
    private static readonly TimeSpan LongSilence = TimeSpan.FromSeconds(30);

    private readonly TemporaryFolder _folder = new();

    private ShardSetup(int shards, LinkOptions options)
    {
        Transports = [.. Enumerable.Range(0, shards + 1).Select(_ => new FaultyTransport(options, TimeProvider.System))];
    }

    /// <summary>Of each shard, and the engine's: as if each were in a process of its own.</summary>
    public FaultyTransport[] Transports { get; }

    public ShardCluster Cluster { get; private set; } = null!; // Set by StartAsync.

    public IEnumerable<SimulatedShard> Shards => Cluster.Shards.Cast<SimulatedShard>();

    /// <param name="scheme">Of the links: memory or unix.</param>
    /// <param name="silence">After how long a silent peer is given up.</param>
    /// <param name="maxFrameBytes">Of the links; null for their default.</param>
    /// <param name="time">What <see cref="ShardCluster.StepLimit"/> is measured by.</param>
    public static async Task<ShardSetup> StartAsync(SimulatedModel model, string scheme, int stages, int ranks, TimeSpan? silence = null, int? maxFrameBytes = null, TimeProvider? time = null)
    {
        var options = new LinkOptions { ClusterSecret = new byte[32], SilenceLimit = silence ?? LongSilence };
        var setup = new ShardSetup(stages * ranks, maxFrameBytes is { } bytes ? options with { MaxFrameBytes = bytes } : options);
        var name = Guid.NewGuid().ToString("N");
        setup.Cluster = await ShardCluster.StartAsync(
            model.Cut(stages, ranks), (slice, reducer) => new SimulatedShard(model, slice, stages, reducer), n => setup.Transports[n],
            n => scheme == "memory" ? $"memory:{name}-{n}" : $"unix:{Path.Combine(setup._folder.Path, n.ToString())}", time: time);
        return setup;
    }

    /// <summary>A step that begins a sequence of one token, named as the step is, in the block of that number.</summary>
    /// <param name="want">Of its row of logits.</param>
    public static StepPlan OneToken(int step, float want) => new()
    {
        Step = step,
        TokenCount = 1,
        SequenceCount = 1,
        BlockTableWidth = 1,
        HiddenCount = 1,
        LogitCount = 1,
        TokenIds = [step],
        CumulativeSequenceLengths = [0, 1],
        PastLengths = [0],
        BlockTable = [step],
        HiddenRows = [0],
        LogitRows = [0],
        RowTemperatures = [want],
    };

    /// <summary>That nothing of the replica is left: threads, links and executors; each executor disposed by its shard's own thread.</summary>
    public async Task AssertGone()
    {
        await Cluster.Ended().WaitAsync(EngineHarness.Patience);
        Cluster.Executor.Dispose();
        foreach (var (runner, shard) in Cluster.Runners.Zip(Shards))
        {
            Assert.True(runner.Thread.Join(EngineHarness.Patience), $"{runner.Thread.Name} is still there.");
            Assert.Equal(runner.Thread, shard.DisposedBy);
        }

        Assert.All(Cluster.Executor.Readers, reader => Assert.True(reader.Join(EngineHarness.Patience), $"{reader.Name} is still there."));
        Assert.All(Transports, transport => Assert.Equal(0, transport.OpenLinks));
    }

    public async ValueTask DisposeAsync()
    {
        await Cluster.DisposeAsync();
        _folder.Dispose();
    }
}

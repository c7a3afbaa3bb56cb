using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;
using Granary.Tests.Support;

namespace Granary.Tests.Benchmarks.Partition;

/// <summary>One way to cut a model, with an engine over it: as one executor, or as shards joined by Unix sockets.</summary>
internal sealed class PartitionLayout : IAsyncDisposable
{
    private const int BlockTokens = 16;

    private readonly ShardCluster? _cluster;
    private readonly TemporaryFolder _sockets;
    private readonly InferenceEngine _engine;

    private PartitionLayout(string name, ShardCluster? cluster, TemporaryFolder sockets, IStepExecutor executor)
    {
        Name = name;
        _cluster = cluster;
        _sockets = sockets;
        _engine = InferenceEngine.Start(new() { PrefixCaching = false }, executor);
    }

    public string Name { get; }

    /// <summary>Of each shard, in the order of places; none for the whole model.</summary>
    public IReadOnlyList<ShardTimes> Times => [.. _cluster?.Runners.Select(runner => runner.Times) ?? []];

    /// <param name="threads">Of each shard.</param>
    /// <param name="sequences">Most that decode together.</param>
    /// <param name="context">Most tokens of each.</param>
    public static async Task<PartitionLayout> OpenAsync(PartitionModel model, int stages, int ranks, int threads, int sequences, int context)
    {
        var options = new OnnxExecutorOptions
        {
            IntraOpThreads = threads,
            MaxSequencesPerStep = sequences,
            ContextLength = context,
            KvBlockCount = sequences * (context / BlockTokens + 1),
        };
        var shards = model.Import(stages, ranks);
        var name = $"{stages}×{ranks}, {threads} thread{(threads > 1 ? "s" : "")} each";
        var sockets = new TemporaryFolder();
        if (stages * ranks == 1) return new(name, null, sockets, OnnxStepExecutor.Open(shards[0].Directory, options));

        // A crowded machine may keep a thread waiting for longer than a silo bears silence.
        var transport = new LinkTransport(new() { ClusterSecret = new byte[32], SilenceLimit = TimeSpan.FromSeconds(10) }, TimeProvider.System);
        var cluster = await ShardCluster.StartAsync(
            [.. shards.Select(shard => shard.Slice)],
            (slice, reducer) => OnnxShardExecutor.Open(shards.Single(shard => shard.Slice == slice).Directory, options, reducer),
            _ => transport, n => $"unix:{sockets[$"{n}"]}");
        return new(name, cluster, sockets, cluster.Executor);
    }

    /// <summary>Decodes sequences together.</summary>
    /// <param name="random">Draws the prompts.</param>
    /// <returns>Tokens a second between when all had their first token and when all had that many more.</returns>
    public async Task<double> DecodeAsync(Random random, int vocabulary, int sequences, int prompt, int tokens)
    {
        var handles = Enumerable.Range(0, sequences).Select(i => _engine.TrySubmit(new()
        {
            RequestId = $"{i}",
            PromptTokenIds = [.. Enumerable.Range(0, prompt).Select(_ => random.Next(vocabulary))],
            Sampling = new() { MaxTokens = tokens + sequences, Temperature = 0 },
        }, out var refusal) ?? throw new InvalidOperationException(refusal!.Message)).ToArray();

        // A sequence may be some tokens ahead when the last of them has its first: all go on for so many more, those ahead for fewer.
        var counts = new long[sequences];
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var started = 0;
        var reads = handles.Select(async (handle, i) =>
        {
            while (await handle.WaitToReadAsync())
            {
                while (handle.TryRead(out _))
                {
                    if (Interlocked.Increment(ref counts[i]) == 1 && Interlocked.Increment(ref started) == sequences) first.TrySetResult();
                }
            }
        }).ToArray();
        await await Task.WhenAny(first.Task, Task.WhenAll(reads)); // The latter only when the engine fails.
        var begun = counts.Sum();
        var clock = TimeProvider.System.GetTimestamp();
        await await Task.WhenAny(reads); // The sequences that end first were the first to begin: until then all decode.
        var elapsed = TimeProvider.System.GetElapsedTime(clock);
        var decoded = counts.Sum() - begun;
        await Task.WhenAll(reads);
        foreach (var handle in handles) await handle.DisposeAsync();
        return decoded / elapsed.TotalSeconds;
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        if (_cluster is not null) await _cluster.DisposeAsync();
        _sockets.Dispose();
    }
}

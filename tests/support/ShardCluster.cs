using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;

namespace Granary.Tests.Support;

/// <summary>All shards of a replica in this process, joined by real links: what the silos of a cluster do, without their grains.</summary>
public sealed class ShardCluster : IAsyncDisposable
{
    public static readonly TimeSpan StepLimit = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly List<ILinkListener> _listeners = [];

    private ShardCluster()
    {
    }

    /// <summary>In the order of the slices.</summary>
    public List<ShardRunner> Runners { get; } = [];

    /// <summary>In the order of the slices; the runners own them.</summary>
    public List<IShardExecutor> Shards { get; } = [];

    /// <summary>Over all of them; whoever uses it owns it.</summary>
    public ShardedStepExecutor Executor { get; private set; } = null!; // Set by StartAsync, before anybody has the cluster.

    /// <param name="slices">[P × T].</param>
    /// <param name="open">Makes a slice's executor; the reducer is null where there is one rank.</param>
    /// <param name="transport">Of the n-th shard; of the engine for n = P × T.</param>
    /// <param name="endpoint">Where the n-th shard listens.</param>
    /// <param name="time">What <see cref="StepLimit"/> is measured by.</param>
    public static async Task<ShardCluster> StartAsync(
        IReadOnlyList<ShardSlice> slices, Func<ShardSlice, IRankReducer?, IShardExecutor> open, Func<int, ILinkTransport> transport, Func<int, string> endpoint,
        WireFormat format = WireFormat.Float32, TimeProvider? time = null, CancellationToken cancellationToken = default)
    {
        var cluster = new ShardCluster();
        foreach (var n in Enumerable.Range(0, slices.Count)) cluster._listeners.Add(transport(n).Listen(endpoint(n)));
        var replica = new ReplicaLinks("replica", Epoch: 3, [.. cluster._listeners.Select(listener => listener.Endpoint)], slices[0].Ranks);
        var links = await Task.WhenAll(slices.Select((slice, n) => ShardLinks.OpenAsync(replica, slice, transport(n), cluster._listeners[n], cancellationToken)));
        for (var n = 0; n < slices.Count; n++)
        {
            var reducer = slices[n].Ranks > 1 ? new RankReducerSlot() : null;
            var shard = open(slices[n], reducer);
            cluster.Shards.Add(shard);
            cluster.Runners.Add(ShardRunner.Start(shard, links[n], new() { Reducer = reducer, WireFormat = format }));
        }

        var controls = await replica.DialControlAsync(transport(slices.Count), cancellationToken);
        cluster.Executor = new(cluster.Shards[0].Shape, slices, controls, StepLimit, time ?? TimeProvider.System);
        return cluster;
    }

    /// <summary>Waits until all shards have ended by themselves, and gives their errors.</summary>
    public Task<Exception?[]> Ended() => Task.WhenAll(Runners.Select(runner => runner.Ended));

    public async ValueTask DisposeAsync()
    {
        foreach (var runner in Runners) await runner.DisposeAsync().AsTask().WaitAsync(Patience);
        foreach (var listener in _listeners) await listener.DisposeAsync();
    }
}

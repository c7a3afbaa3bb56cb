using Granary.Engine.Execution;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;

namespace Granary.Silo.Hosting;

/// <summary>A shard on ONNX Runtime: its executor, and from the moment it is joined the thread that runs its steps.</summary>
internal sealed class OnnxShard : ILoadedShard
{
    private readonly ShardSpec _spec;
    private readonly OnnxShardExecutor _executor;
    private readonly ShardRunnerOptions _options;
    private readonly ILinkTransport _transport;
    private readonly ILinkListener _listener;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _bytes;
    private ShardRunner? _runner;
    private bool _disposed;

    /// <param name="executor">Owned from here on.</param>
    public OnnxShard(
        ShardSpec spec, OnnxShardExecutor executor, ImportedModel imported, ShardRunnerOptions options, ILinkTransport transport, ILinkListener listener, TimeProvider time)
    {
        (_spec, _executor, _options, _transport, _listener, _time) = (spec, executor, options, transport, listener, time);
        EosTokenIds = imported.Description.EosTokenIds;
        _bytes = ModelBytes.OfWeights(imported) + ModelBytes.OfCache(imported, executor.Shape.Whole);
    }

    public ShardShape Shape => _executor.Shape;

    public int[] EosTokenIds { get; }

    public Task<Exception?> Ended => _ended.Task;

    public ShardStatus Status
    {
        get
        {
            ShardRunner? runner;
            lock (_gate) runner = _runner;
            var times = runner?.Times ?? default;
            return new ShardStatus
            {
                ReplicaId = _spec.Replica.ReplicaId,
                Epoch = _spec.Epoch,
                Stage = _spec.Stage,
                Rank = _spec.Rank,
                State = runner is null ? ShardState.Loaded : ShardState.Running,
                Progress = 1,
                MemoryBytes = _bytes,
                Steps = times.Steps,
                SecondsPerStep = times.SecondsPerStep,
                WaitSecondsPerStep = times.WaitSecondsPerStep,
                Links = runner is null ? [] : [.. runner.Links.Select(Describe)],
            };
        }
    }

    public async Task ConnectAsync(string[] endpoints, CancellationToken cancellationToken)
    {
        ShardLinks links;
        try
        {
            var replica = new ReplicaLinks(_spec.Replica.ReplicaId, _spec.Epoch, endpoints, _spec.Replica.Layout!.Ranks);
            // Peers that never dial are the leader's to notice: it cancels.
            links = await ShardLinks.OpenAsync(replica, Shape.Slice, _transport, _listener, cancellationToken);
        }
        catch (LinkException exception)
        {
            throw new ReplicaFailedException($"Shard {_spec.Stage}.{_spec.Rank} of '{_spec.Replica.ReplicaId}' cannot reach its peers: {exception.Message}");
        }

        lock (_gate)
        {
            if (_disposed)
            {
                links.Dispose();
                throw new ReplicaFailedException($"Shard {_spec.Stage}.{_spec.Rank} of '{_spec.Replica.ReplicaId}' was ended while it was being joined.");
            }

            _runner = ShardRunner.Start(_executor, links, _options, _time);
        }

        _ = EndWithAsync(_runner);
    }

    public async ValueTask DisposeAsync()
    {
        ShardRunner? runner;
        lock (_gate)
        {
            if (_disposed) return;
            _disposed = true;
            runner = _runner;
        }

        if (runner is not null) await runner.DisposeAsync();
        else _executor.Dispose();
        _ended.TrySetResult(null);
    }

    private async Task EndWithAsync(ShardRunner runner) => _ended.TrySetResult(await runner.Ended);

    private LinkStatus Describe(ITensorLink link)
    {
        var (identity, counters) = (link.Identity, link.Counters);
        var own = new ShardPlace(_spec.Stage, _spec.Rank);
        var peer = identity.Purpose == LinkPurpose.Control ? "engine" : (identity.Dialer == own ? identity.Acceptor : identity.Dialer).ToString();
        return new(peer, identity.Purpose.ToString().ToLowerInvariant(), counters.FramesSent, counters.BytesSent, counters.FramesReceived, counters.BytesReceived);
    }
}

using System.Collections.Concurrent;
using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;
using Granary.Silo.Serving;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Runs shards of the catalog's models on ONNX Runtime, joined by tensor links, and engines over them.</summary>
internal sealed partial class OnnxShardFactory(
    ModelCatalog catalog, SiloPlace place, IOptions<GranaryOptions> options, TimeProvider time, ILogger<OnnxShardFactory> logger) : IShardFactory, IAsyncDisposable
{
    private readonly ConcurrentDictionary<(string ReplicaId, long Epoch, ShardPlace Place), OnnxShard> _shards = new();
    private readonly Lock _gate = new();
    private LinkTransport? _transport;
    private ILinkListener? _listener;

    /// <summary>Known once something has been loaded.</summary>
    public string Endpoint => _listener?.Endpoint ?? "";

    public async Task<ILoadedShard> LoadAsync(ShardSpec spec, IProgress<double> progress, CancellationToken cancellationToken)
    {
        try
        {
            var (transport, listener) = OpenLinks();
            var slice = Slices(spec.Replica)[(spec.Stage * spec.Replica.Layout!.Ranks) + spec.Rank];
            var imported = await catalog.ImportPartAsync(spec.Replica.Model, slice, new PartProgress(progress), cancellationToken);
            // Loading maps files and compiles kernels: off the caller's thread, and not begun when nobody wants it any more.
            return await Task.Run(() => Open(imported, spec, transport, listener), cancellationToken);
        }
        catch (Exception exception) when (exception is ModelImportException or ModelSessionException or PartitionException or LinkException or OptionsValidationException)
        {
            throw new ModelLoadException(exception.Message);
        }
    }

    public async Task<LoadedReplica> LeadAsync(ReplicaSpec spec, long epoch, string[] endpoints, CancellationToken cancellationToken)
    {
        if (!_shards.TryGetValue((spec.ReplicaId, epoch, default), out var leader) || _transport is null)
            throw new ModelLoadException($"Replica '{spec.ReplicaId}', epoch {epoch}, cannot be led here: its first shard is not loaded on this silo.");
        ITensorLink[] controls;
        try
        {
            controls = await new ReplicaLinks(spec.ReplicaId, epoch, endpoints, spec.Layout!.Ranks).DialControlAsync(_transport, cancellationToken);
        }
        catch (LinkException exception)
        {
            throw new ModelLoadException($"Replica '{spec.ReplicaId}', epoch {epoch}, cannot be led: {exception.Message}");
        }

        var executor = new ShardedStepExecutor(leader.Shape, Slices(spec), controls, TimeSpan.FromSeconds(options.Value.Links.StepTimeoutSeconds), time);
        if (KvSettings.AsksInVain(options.Value, executor)) LogNoTiers(spec.ReplicaId);
        try
        {
            return new LoadedReplica(InferenceEngine.Start(EngineSettings.ToEngine(options.Value), executor, time), leader.EosTokenIds.ToFrozenSet());
        }
        catch
        {
            executor.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_listener is not null) await _listener.DisposeAsync();
    }

    private ShardSlice[] Slices(ReplicaSpec spec) => Slicing.Cut(catalog.ReadShape(spec.Model), spec.Layout!.LayersPerStage, spec.Layout.Ranks);

    private OnnxShard Open(ImportedModel imported, ShardSpec spec, ILinkTransport transport, ILinkListener listener)
    {
        var reducer = spec.Replica.Layout!.Ranks > 1 ? new RankReducerSlot() : null;
        var executor = OnnxShardExecutor.Open(imported.Directory, EngineSettings.ToExecutor(options.Value, spec.Replica), reducer);
        var runner = new ShardRunnerOptions { WireFormat = options.Value.Links.WireFormat, Reducer = reducer };
        var shard = new OnnxShard(spec, executor, imported, runner, transport, listener, time);
        var key = (spec.Replica.ReplicaId, spec.Epoch, new ShardPlace(spec.Stage, spec.Rank));
        _shards[key] = shard;
        _ = ForgetAsync();
        return shard;

        async Task ForgetAsync()
        {
            await shard.Ended;
            _shards.TryRemove(key, out _);
        }
    }

    /// <summary>A silo without shards listens nowhere.</summary>
    private (LinkTransport Transport, ILinkListener Listener) OpenLinks()
    {
        lock (_gate)
        {
            if (_listener is not null) return (_transport!, _listener);
            var settings = options.Value;
            var alone = LinkSettings.IsAlone(settings);
            if (!alone && !LinkSettings.HasSecret(settings.Links))
                throw new ModelLoadException("Granary:Links:Secret is not set on this silo; shards of a cluster need one.");
            var host = string.IsNullOrWhiteSpace(settings.Cluster.Host) ? Environment.MachineName : settings.Cluster.Host;
            var endpoint = settings.Links.Endpoint ?? (alone ? place.Group.SocketOf(place.Index) : $"tcp://{host}:0");
            _transport ??= new LinkTransport(LinkSettings.Read(settings.Links, place.Group.Secret), time);
            _listener = _transport.Listen(endpoint);
            return (_transport, _listener);
        }
    }

    /// <summary>An import's bytes as a share; loading what is imported is the last hundredth.</summary>
    private sealed class PartProgress(IProgress<double> progress) : IProgress<ImportProgress>
    {
        public void Report(ImportProgress value) =>
            progress.Report(value is { Phase: ImportPhase.Writing, BytesTotal: > 0 } ? 0.99 * value.BytesDone / value.BytesTotal : value.Phase == ImportPhase.Committing ? 0.99 : 0);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Replica {ReplicaId} keeps no copies of its KV cache, though Granary:Kv asks for them: it is cut.")]
    private partial void LogNoTiers(string replicaId);
}

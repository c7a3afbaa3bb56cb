using System.Collections.Concurrent;
using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Support;

namespace Granary.Tests.Chaos;

/// <summary>Real engines over simulated devices, each by the clock of its silo.</summary>
internal sealed class ChaosModels(ChaosOptions options, Func<string, ProcessTime> clockOf) : IModelFiles
{
    private readonly ConcurrentDictionary<string, IInferenceEngine> _engines = new();

    /// <summary>Makes something else of a replica's device; by its replica's id.</summary>
    public Func<string, IStepExecutor, IStepExecutor> Wrap { get; set; } = (_, executor) => executor;

    /// <summary>The engine of the last life of each replica, by its id.</summary>
    public IReadOnlyDictionary<string, IInferenceEngine> Engines => _engines;

    public IReplicaFactory Factory => new ReplicaFactory(this);

    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) => Task.FromResult(options.SpeaksText
        ? new ModelCard
        {
            Name = model,
            Fingerprint = model,
            ContextLength = options.Device.ContextLength,
            VocabularySize = options.Device.VocabularySize,
            HiddenSize = options.Device.HiddenSize,
            Created = DateTimeOffset.UnixEpoch,
        }
        : null);

    public async Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken)
    {
        if (!options.SpeaksText) return null;
        var files = new Dictionary<string, byte[]>();
        foreach (var name in new[] { "tokenizer.json", "tokenizer_config.json" })
            files[name] = await File.ReadAllBytesAsync(Path.Combine(EmbeddedModel.Folder, name), cancellationToken);
        return new ModelTextFiles(model, files);
    }

    public Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelShape?>(null);

    private sealed class ReplicaFactory(ChaosModels models) : IReplicaFactory
    {
        public Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken) => models.CreateAsync(spec);
    }

    private async Task<LoadedReplica> CreateAsync(ReplicaSpec spec)
    {
        var clock = clockOf(GrainKeys.SiloOf(spec.ReplicaId).ToString());
        (IStepExecutor Executor, IAsyncDisposable? Owner) device =
            options.Open is null ? (new SimulatedExecutor(options.Device, clock.Wait), null) : await options.Open(spec.ReplicaId, clock);
        var engine = InferenceEngine.Start(options.Engine, Wrap(spec.ReplicaId, device.Executor), clock);
        _engines[spec.ReplicaId] = engine;
        return new LoadedReplica(engine, FrozenSet<int>.Empty, device.Owner);
    }
}

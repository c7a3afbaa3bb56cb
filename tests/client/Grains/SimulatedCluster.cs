using System.Collections.Concurrent;
using System.Collections.Frozen;
using Granary.Client;
using Granary.Engine;
using Granary.Engine.Partitioning;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Hosting;
using Orleans.TestingHost;

namespace Granary.Tests.Client.Grains;

/// <summary>One silo over simulated devices that speak the embedded model's vocabulary, and a client outside it. Each test deploys a model of its own.</summary>
public sealed class SimulatedCluster : IAsyncLifetime
{
    public const int VocabularySize = 4096;
    public const int ContextLength = 1024;
    public const int HiddenSize = 8;

    private InProcessTestCluster _cluster = null!; // Set before the first test.

    internal SimulatedModels Models { get; } = new();

    internal IGrainFactory Grains => _cluster.Client;

    internal IGenerationClient Generation { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.AddMemoryGrainStorageAsDefault();
            silo.Services.AddSingleton<IReplicaFactory>(Models);
            silo.Services.AddSingleton<IModelFiles>(Models);
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<WorkerOptions>(options => options.Cores = 64);
        });
        _cluster = builder.Build();
        await _cluster.DeployAsync();
        Generation = new GrainGenerationClient(_cluster.Client, TimeProvider.System, NullLogger<GrainGenerationClient>.Instance);
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    /// <summary>Deploys a model under a name of its own.</summary>
    /// <param name="fingerprint">By default its own as well.</param>
    internal async Task<string> DeployAsync(string? fingerprint = null, int replicas = 1)
    {
        var name = $"model-{Guid.NewGuid():N}";
        Models.Fingerprints[name] = fingerprint ?? name;
        await ScaleAsync(name, replicas);
        return name;
    }

    internal Task ScaleAsync(string model, int replicas) =>
        Grains.GetGrain<IModelGrain>(model).DeployAsync(new DeploymentSpec(replicas, [$"{_cluster.Silos[0].Name}/cpu"], 1, 0));

    internal async Task<int> BookingsAsync(string model) =>
        (await Grains.GetGrain<IRouterGrain>(GrainKeys.Router(null, model)).GetSnapshotAsync()).Replicas.Sum(replica => replica.BookedRequests);

    internal GranaryClient Client(IGenerationClient? generation = null, TimeProvider? time = null, GranaryClientOptions? options = null, SessionRecorder? sessions = null) => new GrainGranaryClient(
        Grains, generation ?? Generation, sessions ?? Recorder(), options ?? new() { MaxRetries = 0 }, time ?? TimeProvider.System, new Random(5));

    internal SessionRecorder Recorder() => new(Grains, TimeProvider.System, null, NullLogger<SessionRecorder>.Instance);
}

/// <summary>Engines over the simulated device, and the embedded model's text files under any name.</summary>
internal sealed class SimulatedModels : IReplicaFactory, IModelFiles
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<ScriptedExecutor>> _executors = new();
    private int _readings;

    /// <summary>Fingerprints by model.</summary>
    public ConcurrentDictionary<string, string> Fingerprints { get; } = new();

    /// <summary>Fingerprints that the text files carry, where it is not their card's.</summary>
    public ConcurrentDictionary<string, string> FilesOf { get; } = new();

    /// <summary>How often text files were asked for.</summary>
    public int Readings => Volatile.Read(ref _readings);

    /// <summary>The replica's executor, once it is made.</summary>
    /// <param name="replica"><c>model/index</c>.</param>
    public Task<ScriptedExecutor> ExecutorOf(string replica) => Of(replica).Task;

    public Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken)
    {
        var executor = new ScriptedExecutor(new SimulatedExecutor(
            new SimulatedDevice { VocabularySize = SimulatedCluster.VocabularySize, ContextLength = SimulatedCluster.ContextLength }));
        Of(GrainKeys.ReplicaName(spec.ReplicaId)).TrySetResult(executor);
        return Task.FromResult(new LoadedReplica(InferenceEngine.Start(new EngineOptions(), executor), FrozenSet<int>.Empty));
    }

    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) => Task.FromResult(
        Fingerprints.TryGetValue(model, out var fingerprint)
            ? new ModelCard
            {
                Name = model,
                Fingerprint = fingerprint,
                ContextLength = int.MaxValue, // The replicas' holds.
                VocabularySize = SimulatedCluster.VocabularySize,
                HiddenSize = SimulatedCluster.HiddenSize,
                Created = DateTimeOffset.UnixEpoch,
            }
            : null);

    public Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _readings);
        return Task.FromResult(Fingerprints.TryGetValue(model, out var fingerprint)
            ? new ModelTextFiles(
                FilesOf.GetValueOrDefault(model, fingerprint),
                new[] { "tokenizer.json", "tokenizer_config.json" }.ToDictionary(name => name, name => File.ReadAllBytes(Path.Combine(EmbeddedModel.Folder, name))))
            : null);
    }

    public Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelShape?>(null);

    private TaskCompletionSource<ScriptedExecutor> Of(string replicaId) =>
        _executors.GetOrAdd(replicaId, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
}

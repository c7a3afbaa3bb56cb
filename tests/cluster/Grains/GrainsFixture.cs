using Granary.Client;
using Granary.Engine;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.TestingHost;

namespace Granary.Tests.Cluster.Grains;

/// <summary>One silo with the grains, over simulated devices, and a client outside it. Each test deploys a model of its own.</summary>
public sealed class GrainsFixture : IAsyncLifetime
{
    /// <summary>Armed waits end here: far above what they take, so that a hang is told as one.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private InProcessTestCluster _cluster = null!; // Set before the first test.

    internal ScriptedReplicaFactory Engines { get; } = new();

    /// <summary>Models and replicas that no engine stands behind, as the silo's grains see them.</summary>
    internal ScriptedGrains Scripts { get; } = new();

    internal IGrainFactory Grains => _cluster.Client;

    internal IGenerationClient Client { get; private set; } = null!;

    /// <summary>A reader of its own, beside the client.</summary>
    internal ReplicaConnections Connections { get; private set; } = null!;

    internal string Worker => $"{_cluster.Silos[0].Name}/cpu";

    public async Task InitializeAsync()
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.Services.AddSingleton<IReplicaFactory>(Engines);
            Scripts.AddTo(silo.Services);
            silo.Services.AddGranaryGrains();
            silo.Services.Configure<WorkerOptions>(options => options.Cores = 64);
            silo.Services.Configure<ModelGrainOptions>(options => options.RetryPause = TimeSpan.FromMilliseconds(20));
            // A booking counts until it is given back: what the router believes then depends on nothing but the test.
            silo.Services.Configure<RouterOptions>(options => options.SettleTime = TimeSpan.FromMinutes(1));
        });
        _cluster = builder.Build();
        await _cluster.DeployAsync();
        Client = new GrainGenerationClient(_cluster.Client, TimeProvider.System, NullLogger<GrainGenerationClient>.Instance);
        Connections = new ReplicaConnections(_cluster.Client, TimeProvider.System);
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    /// <summary>Deploys a model under a name of its own.</summary>
    internal async Task<string> DeployAsync(ScriptedModel model, int replicas = 1)
    {
        var name = $"model-{Guid.NewGuid():N}";
        Engines.Add(name, model);
        await Model(name).DeployAsync(Spec(replicas));
        return name;
    }

    internal DeploymentSpec Spec(int replicas, int threads = 1) => new(replicas, [Worker], threads, 0);

    internal IModelGrain Model(string name) => Grains.GetGrain<IModelGrain>(name);

    internal IRouterGrain Router(string name) => Grains.GetGrain<IRouterGrain>(GrainKeys.Router(null, name));

    internal IReplicaGrain Replica(string name, int index = 0) => Grains.GetGrain<IReplicaGrain>(ReplicaId(name, index));

    internal string ReplicaId(string name, int index = 0) => GrainKeys.Replica(Worker, name, index);

    internal async Task<long> EpochAsync(string name, int index = 0) =>
        (await Model(name).GetStatusAsync()).Replicas.Single(replica => replica.Replica.ReplicaId == ReplicaId(name, index)).Replica.Epoch;

    /// <summary>From the replica itself, past the router.</summary>
    internal async IAsyncEnumerable<TokenChunk> GenerateAsync(string name, int index, GenerateRequest request, long epoch)
    {
        await using var stream = await Connections.SubmitAsync(new ReplicaLife(ReplicaId(name, index), epoch), request, CancellationToken.None);
        while (await stream.NextAsync() is var news and not StreamNews.Ended)
        {
            if (news == StreamNews.Token) yield return stream.Current; // A life that drains goes on.
        }
    }

    /// <summary>Asks again until the answer is the one awaited; every question is a call to a grain, so others get their turns.</summary>
    internal static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isAwaited)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            var answer = await ask();
            if (isAwaited(answer)) return answer;
            if (patience.IsCancellationRequested) throw new TimeoutException($"It never came; last was {System.Text.Json.JsonSerializer.Serialize(answer)}.");
            await Task.Yield();
        }
    }

    internal async Task<int> BookingsAsync(string name) => (await Router(name).GetSnapshotAsync()).Replicas.Sum(replica => replica.BookedRequests);

    internal static GenerateRequest Request(string model, int[] prompt, int maxTokens = 16, ulong seed = 1, float temperature = 1) => new()
    {
        RequestId = Guid.NewGuid().ToString("N"),
        Model = model,
        PromptTokenIds = prompt,
        Sampling = new SamplingOptions { MaxTokens = maxTokens, Seed = seed, Temperature = temperature },
    };

    internal static int[] Prompt(int seed, int length)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(256))];
    }

    internal static async Task<List<TokenChunk>> ReadAsync(IAsyncEnumerable<TokenChunk> stream)
    {
        var chunks = new List<TokenChunk>();
        await foreach (var chunk in stream) chunks.Add(chunk);
        return chunks;
    }

    /// <summary>What an engine gives for the request when nothing is between it and the caller.</summary>
    internal static async Task<int[]> RunAloneAsync(GenerateRequest request, SimulatedDevice? device = null)
    {
        await using var engine = InferenceEngine.Start(new EngineOptions(), new SimulatedExecutor(device ?? new()));
        await using var sequence = engine.TrySubmit(
            new EngineRequest
            {
                RequestId = request.RequestId,
                PromptTokenIds = request.PromptTokenIds,
                Sampling = new SamplingParameters
                {
                    MaxTokens = request.Sampling.MaxTokens,
                    Temperature = request.Sampling.Temperature,
                    Seed = request.Sampling.Seed,
                },
            },
            out var refusal) ?? throw new InvalidOperationException(refusal?.Message);
        var ids = new List<int>();
        do
        {
            while (sequence.TryRead(out var token))
            {
                if (token.TokenId >= 0) ids.Add(token.TokenId);
            }
        }
        while (await sequence.WaitToReadAsync());
        return [.. ids];
    }
}

using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Partitioning;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Cluster.Grains;

namespace Granary.Tests.Cluster.Sharding;

/// <summary>Shards without weights or links: they are loaded, joined and lost as a test says, and the engine over them is a real one.</summary>
internal sealed class ScriptedShards : IModelFiles
{
    public const int Layers = 6;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Replica, long Epoch), ScriptedLife> _lives = [];
    private readonly List<ScriptedShard> _shards = [];

    /// <summary>Runs within each load, before there is a shard; it may wait, report, and fail.</summary>
    public Func<string, ShardSpec, IProgress<double>, CancellationToken, Task> WhileLoading { get; set; } = (_, _, _, _) => Task.CompletedTask;

    public SimulatedDevice Device { get; } = new();

    /// <summary>All that were ever loaded.</summary>
    public ScriptedShard[] Loaded
    {
        get
        {
            lock (_gate) return [.. _shards];
        }
    }

    public ScriptedShard[] Living => Array.FindAll(Loaded, shard => !shard.Ended.IsCompleted);

    public IShardFactory Factory(string silo) => new ScriptedFactory(this, silo);

    /// <summary>What the network shows of a machine that crashed: its shards, and the engines that it led, are gone.</summary>
    public void Crash(string silo)
    {
        foreach (var shard in Loaded.Where(shard => shard.Silo == silo || shard.Spec.Replica.ReplicaId.StartsWith($"{silo}/", StringComparison.Ordinal)))
            shard.Life.Lose($"Silo {silo} is gone.");
    }

    public Task<ModelCard?> FindCardAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelCard?>(null);

    public Task<ModelTextFiles?> FindTextFilesAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelTextFiles?>(null);

    public Task<ModelShape?> FindShapeAsync(string model, CancellationToken cancellationToken) => Task.FromResult<ModelShape?>(new()
    {
        LayerCount = Layers,
        HiddenSize = 64,
        IntermediateSize = 128,
        HeadCount = 4,
        KvHeadCount = 2,
        HeadSize = 16,
        VocabularySize = 256,
        ContextLength = 1024,
        TiedEmbeddings = true,
        WeightBits = 32,
    });

    private ScriptedLife LifeOf(ReplicaSpec spec, long epoch)
    {
        lock (_gate)
        {
            if (!_lives.TryGetValue((spec.ReplicaId, epoch), out var life)) _lives.Add((spec.ReplicaId, epoch), life = new(spec.Layout!.Workers.Length));
            return life;
        }
    }

    private sealed class ScriptedFactory(ScriptedShards all, string silo) : IShardFactory
    {
        public string Endpoint => $"memory:{silo}";

        public async Task<ILoadedShard> LoadAsync(ShardSpec spec, IProgress<double> progress, CancellationToken cancellationToken)
        {
            await all.WhileLoading(silo, spec, progress, cancellationToken);
            var shard = new ScriptedShard(silo, spec, all.LifeOf(spec.Replica, spec.Epoch));
            lock (all._gate) all._shards.Add(shard);
            return shard;
        }

        public async Task<LoadedReplica> LeadAsync(ReplicaSpec spec, long epoch, string[] endpoints, CancellationToken cancellationToken)
        {
            var life = all.LifeOf(spec, epoch);
            life.Lead(endpoints);
            await life.Joined.WaitAsync(cancellationToken);
            var engine = InferenceEngine.Start(new EngineOptions(), new LedExecutor(life, new SimulatedExecutor(all.Device)));
            return new LoadedReplica(engine, FrozenSet<int>.Empty);
        }
    }

    /// <summary>Fails as soon as a shard is lost.</summary>
    private sealed class LedExecutor(ScriptedLife life, SimulatedExecutor inner) : IStepExecutor
    {
        public ExecutorShape Shape => inner.Shape;

        public Task Lost => life.Lost;

        public void Begin(StepPlan plan)
        {
            Require();
            inner.Begin(plan);
        }

        public StepOutput End()
        {
            Require();
            return inner.End();
        }

        public void Dispose()
        {
            inner.Dispose();
            life.Lose("Its engine has ended."); // As its links would tell.
        }

        private void Require()
        {
            if (life.Lost.IsCompleted) throw new StepFailedException(life.Reason);
        }
    }
}

/// <summary>What the shards of one life know of each other.</summary>
internal sealed class ScriptedLife(int shards)
{
    private readonly TaskCompletionSource _joined = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _waited = shards + 1; // The engine joins as well.

    /// <summary>Completes when all have been joined to each other and to the engine.</summary>
    public Task Joined => _joined.Task;

    public Task Lost => _lost.Task;

    public string Reason { get; private set; } = "";

    public string[] Endpoints { get; private set; } = [];

    public void Lead(string[] endpoints)
    {
        Endpoints = endpoints;
        Join();
    }

    public void Join()
    {
        if (Interlocked.Decrement(ref _waited) == 0) _joined.TrySetResult();
    }

    public void Lose(string reason)
    {
        if (Reason.Length == 0) Reason = reason;
        _lost.TrySetResult();
    }
}

/// <summary>A shard that was loaded.</summary>
internal sealed class ScriptedShard : ILoadedShard
{
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _joined;

    public ScriptedShard(string silo, ShardSpec spec, ScriptedLife life)
    {
        (Silo, Spec, Life) = (silo, spec, life);
        _ = EndWithLifeAsync();
    }

    public string Silo { get; }

    public ShardSpec Spec { get; }

    public ScriptedLife Life { get; }

    public bool IsDisposed { get; private set; }

    public Task<Exception?> Ended => _ended.Task;

    public ShardStatus Status => new()
    {
        ReplicaId = Spec.Replica.ReplicaId,
        Epoch = Spec.Epoch,
        Stage = Spec.Stage,
        Rank = Spec.Rank,
        State = _joined ? ShardState.Running : ShardState.Loaded,
        Progress = 1,
        MemoryBytes = 1 << 20,
        Links = _joined ? [new LinkStatus("engine", "control", 1, 10, 2, 20)] : [],
    };

    public async Task ConnectAsync(string[] endpoints, CancellationToken cancellationToken)
    {
        Life.Join();
        await Life.Joined.WaitAsync(GrainsFixture.Patience, cancellationToken);
        _joined = true;
    }

    public ValueTask DisposeAsync()
    {
        IsDisposed = true;
        _ended.TrySetResult(null);
        Life.Lose($"Shard {Spec.Stage}.{Spec.Rank} has ended.");
        return ValueTask.CompletedTask;
    }

    private async Task EndWithLifeAsync()
    {
        await Life.Lost;
        _ended.TrySetResult(new ReplicaFailedException(Life.Reason));
    }
}

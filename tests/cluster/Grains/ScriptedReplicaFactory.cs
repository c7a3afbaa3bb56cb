using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Cluster;
using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;
using Granary.Tests.Support;

namespace Granary.Tests.Cluster.Grains;

/// <summary>How a test's model behaves.</summary>
internal sealed record ScriptedModel
{
    public SimulatedDevice Device { get; init; } = new();

    public EngineOptions Engine { get; init; } = new();

    public IReadOnlySet<int> EosTokenIds { get; init; } = FrozenSet<int>.Empty;

    /// <summary>What engines measure their steps by.</summary>
    public TimeProvider? Time { get; init; }

    /// <summary>What each life takes of a device with memory of its own.</summary>
    public long DeviceBytes { get; init; }

    /// <summary>What each life says that its copies of cached blocks may take of the process's memory; 0 for what is true.</summary>
    public long HostBytes { get; init; }

    /// <summary>Called with the n-th load of a replica, from 1, before its engine is made; it may fail.</summary>
    public Action<ReplicaSpec, int> BeforeLoad { get; init; } = (_, _) => { };

    /// <summary>Called with the n-th executor of a replica before its engine starts.</summary>
    public Action<ScriptedExecutor, int> Prepare { get; init; } = (_, _) => { };
}

/// <summary>One started engine of one replica.</summary>
internal sealed record ScriptedLife(ScriptedExecutor Executor, ScriptedEngine Engine);

/// <summary>Makes real engines over the simulated device, as each test's model says, and keeps hold of them.</summary>
internal sealed class ScriptedReplicaFactory : IReplicaFactory
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, ScriptedModel> _models = [];
    private readonly Dictionary<string, int> _loads = [];
    private readonly Dictionary<(string Replica, int Number), TaskCompletionSource<ScriptedLife>> _lives = [];

    public void Add(string name, ScriptedModel model)
    {
        lock (_gate) _models[name] = model;
    }

    /// <summary>Loads of the replica that were begun.</summary>
    /// <param name="replica"><c>model/index</c>, on whichever worker it is.</param>
    public int LoadsOf(string replica)
    {
        lock (_gate) return _loads.GetValueOrDefault(replica);
    }

    /// <summary>The engine of the replica's n-th load, from 1, once it is made.</summary>
    public Task<ScriptedLife> Life(string replica, int number = 1)
    {
        lock (_gate) return Of(replica, number).Task;
    }

    public Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken)
    {
        ScriptedModel model;
        int number;
        var replica = GrainKeys.ReplicaName(spec.ReplicaId);
        lock (_gate)
        {
            if (!_models.TryGetValue(spec.Model, out model!)) throw new ModelLoadException($"There is no model '{spec.Model}' here.");
            number = _loads[replica] = _loads.GetValueOrDefault(replica) + 1;
        }

        model.BeforeLoad(spec, number);
        var executor = new ScriptedExecutor(new SimulatedExecutor(model.Device));
        model.Prepare(executor, number);
        var life = new ScriptedLife(executor, new ScriptedEngine(InferenceEngine.Start(model.Engine, executor, model.Time), model.HostBytes));
        lock (_gate) Of(replica, number).SetResult(life);
        return Task.FromResult(new LoadedReplica(life.Engine, model.EosTokenIds, DeviceBytes: model.DeviceBytes));
    }

    private TaskCompletionSource<ScriptedLife> Of(string replica, int number)
    {
        if (!_lives.TryGetValue((replica, number), out var life))
            _lives.Add((replica, number), life = new(TaskCreationOptions.RunContinuationsAsynchronously));
        return life;
    }
}

using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Kv;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces.Replicas;
using Granary.Grains;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>An engine on a simulated device whose step takes the same time whatever is in it, and which logs its steps.</summary>
internal static class SimulatedReplica
{
    private const int MaxRunning = 4096;

    public static IInferenceEngine Start(TimeSpan step, StepLog log)
    {
        var device = new SimulatedDevice { VocabularySize = Prompt.Vocabulary, KvBlockCount = 1 << 16, MaxLogitRows = MaxRunning, PerStep = step };
        var options = new EngineOptions { MaxTokensPerStep = 16_384, MaxRunningSequences = MaxRunning, MaxQueuedSequences = MaxRunning };
        return new LoggedEngine(InferenceEngine.Start(options, new LoggedExecutor(new SimulatedExecutor(device), log)), log);
    }

    private sealed class LoggedExecutor(SimulatedExecutor device, StepLog log) : IStepExecutor
    {
        public ExecutorShape Shape => device.Shape;

        public void Begin(StepPlan plan)
        {
            for (var b = 0; b < plan.SequenceCount; b++)
            {
                var start = plan.CumulativeSequenceLengths[b];
                if (plan.CumulativeSequenceLengths[b + 1] - start == Prompt.Tokens) log.FirstToken(Prompt.NumberOf(plan.TokenIds.AsSpan(start)));
            }

            device.Begin(plan);
        }

        public StepOutput End()
        {
            var output = device.End();
            log.StepEnded();
            return output;
        }

        public void Dispose() => device.Dispose();
    }

    private sealed class LoggedEngine(InferenceEngine engine, StepLog log) : IInferenceEngine
    {
        public EngineInfo Info => engine.Info;

        public EngineLoad Load => engine.Load;

        public Task Completion => engine.Completion;

        public ISequenceHandle? TrySubmit(EngineRequest request, out Refusal? refusal)
        {
            // The probe of a new replica has a shorter prompt.
            if (request.PromptTokenIds.Length == Prompt.Tokens) log.Submitted(Prompt.NumberOf(request.PromptTokenIds));
            return engine.TrySubmit(request, out refusal);
        }

        public KvEventBatch ReadKvEvents(long from) => engine.ReadKvEvents(from);

        public Task<int> PinAsync(string owner, int[] tokenIds, string? salt, TimeSpan lease) => engine.PinAsync(owner, tokenIds, salt, lease);

        public void Unpin(string owner) => engine.Unpin(owner);

        public ValueTask DisposeAsync() => engine.DisposeAsync();
    }
}

/// <summary>Gives a silo engines on simulated devices.</summary>
internal sealed class SimulatedReplicaFactory(TimeSpan step, StepLog log) : IReplicaFactory
{
    public Task<LoadedReplica> CreateAsync(ReplicaSpec spec, CancellationToken cancellationToken) =>
        Task.FromResult(new LoadedReplica(SimulatedReplica.Start(step, log), FrozenSet<int>.Empty));
}

using Granary.Engine;
using Granary.Engine.Onnx.Execution;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Silo.Hosting;

/// <summary>Sizes of engines and executors, from the settings.</summary>
internal static class EngineSettings
{
    public static EngineOptions ToEngine(GranaryOptions settings) => new()
    {
        MaxTokensPerStep = settings.MaxTokensPerStep,
        MaxRunningSequences = settings.MaxRunningSequences,
        MaxQueuedSequences = settings.MaxQueuedSequences,
    };

    /// <summary>Of a whole replica, or of each shard.</summary>
    public static OnnxExecutorOptions ToExecutor(GranaryOptions settings, ReplicaSpec spec) => new()
    {
        IntraOpThreads = spec.IntraOpThreads,
        ContextLength = settings.ContextLength,
        KvBlockCount = spec.KvBlocks,
        MaxTokensPerStep = settings.MaxTokensPerStep,
        MaxSequencesPerStep = settings.MaxRunningSequences,
        MaxLogitRowsPerStep = MaxLogitRows(settings),
    };

    /// <summary>So that prompts whose log-probabilities are wanted advance beside decoding sequences.</summary>
    public static int MaxLogitRows(GranaryOptions settings) => 2 * settings.MaxRunningSequences;
}

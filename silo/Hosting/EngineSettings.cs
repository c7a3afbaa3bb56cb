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
    /// <param name="kvMemoryBytes">For a KV cache whose number of blocks is left open; 0 for the executor's own rule.</param>
    public static OnnxExecutorOptions ToExecutor(GranaryOptions settings, ReplicaSpec spec, long kvMemoryBytes = 0) => new()
    {
        Provider = settings.Device.Provider,
        DeviceId = settings.Device.Id,
        IntraOpThreads = Threads(settings, spec),
        ContextLength = settings.ContextLength,
        KvBlockTokens = KvBlockTokens(settings),
        KvBlockCount = spec.KvBlocks,
        KvMemoryBytes = kvMemoryBytes,
        MaxTokensPerStep = settings.MaxTokensPerStep,
        MaxSequencesPerStep = settings.MaxRunningSequences,
        MaxLogitRowsPerStep = MaxLogitRows(settings),
    };

    /// <summary>So that prompts whose log-probabilities are wanted advance beside decoding sequences.</summary>
    public static int MaxLogitRows(GranaryOptions settings) => 2 * settings.MaxRunningSequences;

    public static int KvBlockTokens(GranaryOptions settings) => OnnxExecutorOptions.DefaultKvBlockTokens(settings.Device.Target);

    /// <summary>Of a device with memory of its own: three quarters of what a replica's weights leave of its part. The rest is for activations.</summary>
    /// <param name="memory">The device's, for all replicas of this silo.</param>
    /// <param name="weights">Of one replica.</param>
    public static long KvMemoryBytes(GranaryOptions settings, long memory, long weights) => Math.Max(1, ((memory / settings.Replicas) - weights) / 4 * 3);

    /// <summary>A device counts as one core; what it leaves to the CPU is computed by as many as there are.</summary>
    private static int Threads(GranaryOptions settings, ReplicaSpec spec) =>
        settings.Device.IsCpu ? spec.IntraOpThreads : settings.Threads > 0 ? settings.Threads : Math.Max(1, Environment.ProcessorCount / settings.Silos);
}

using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Device and sizes of an <see cref="OnnxStepExecutor"/> or an <see cref="OnnxShardExecutor"/>.</summary>
public sealed record OnnxExecutorOptions
{
    /// <summary>Name of the execution provider, one of <see cref="ExecutionProviders.Names"/>.</summary>
    /// <value>Default <c>cpu</c>. A graph imported for CUDA needs <c>cuda</c>; of other graphs a provider runs the operators that it has.</value>
    public string Provider { get; init; } = ExecutionProviders.Cpu;

    /// <summary>Which of the provider's devices.</summary>
    public int DeviceId { get; init; }

    /// <summary>Threads that compute a step, the engine's own included.</summary>
    /// <value>Default 1, for several executors side by side; at most 1024.</value>
    public int IntraOpThreads { get; init; } = 1;

    /// <summary>Most tokens of one sequence.</summary>
    /// <value>Default 0: the model's. Never more than the model's, nor than the KV cache holds.</value>
    public int ContextLength { get; init; }

    /// <summary>Tokens of a block of the KV cache: a multiple of 16, at most 4096; for CUDA a power of two.</summary>
    /// <value>Default 0: 16 on the CPU, 256 on CUDA, where smaller ones shut out the fast kernels.</value>
    public int KvBlockTokens { get; init; }

    /// <summary>Tokens of a block of the KV cache where <see cref="KvBlockTokens"/> does not say.</summary>
    public static int DefaultKvBlockTokens(ModelTarget target) => target == ModelTarget.Cpu ? AttentionStep.TileTokens : 256;

    /// <summary>Blocks of the KV cache.</summary>
    /// <value>Default 0: as many as <see cref="MaxSequencesPerStep"/> full contexts need, within <see cref="KvMemoryBytes"/>.</value>
    public int KvBlockCount { get; init; }

    /// <summary>Address space that a KV cache of default size may take; pages are touched only as blocks are used.</summary>
    /// <value>Default 0: a quarter of the memory this process may use.</value>
    public long KvMemoryBytes { get; init; }

    /// <summary>Most tokens of one step.</summary>
    public int MaxTokensPerStep { get; init; } = 2048;

    /// <summary>Most sequences of one step.</summary>
    public int MaxSequencesPerStep { get; init; } = 64;

    /// <summary>Most rows of logits of one step; each takes memory for the vocabulary.</summary>
    /// <value>Default 0: twice <see cref="MaxSequencesPerStep"/>, so that prompts whose log-probabilities are wanted advance beside decoding sequences. Never fewer than that.</value>
    public int MaxLogitRowsPerStep { get; init; }
}

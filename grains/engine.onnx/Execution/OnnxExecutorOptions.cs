namespace Granary.Engine.Onnx.Execution;

/// <summary>Sizes of an <see cref="OnnxStepExecutor"/>.</summary>
public sealed record OnnxExecutorOptions
{
    /// <summary>Threads that compute a step, the engine's own included.</summary>
    /// <value>Default 1, for several executors side by side; at most 1024.</value>
    public int IntraOpThreads { get; init; } = 1;

    /// <summary>Most tokens of one sequence.</summary>
    /// <value>Default 0: the model's. Never more than the model's, nor than the KV cache holds.</value>
    public int ContextLength { get; init; }

    /// <summary>Blocks of the KV cache, 16 tokens each.</summary>
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

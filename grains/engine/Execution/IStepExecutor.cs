namespace Granary.Engine.Execution;

/// <summary>Runs steps of one replica on its device. Used by one thread at a time: the engine's.</summary>
public interface IStepExecutor : IDisposable
{
    /// <summary>Sizes that the scheduler and the sampler need.</summary>
    ExecutorShape Shape { get; }

    /// <summary>Computes a step and writes its keys and values into the cache.</summary>
    /// <returns>The hidden states and logits that the plan wants.</returns>
    /// <exception cref="StepFailedException">The device failed; the cache's content is unknown and the engine's life ends.</exception>
    StepOutput Execute(StepPlan plan);
}

/// <summary>What a replica's device offers.</summary>
/// <param name="VocabularySize">Columns of a row of logits.</param>
/// <param name="HiddenSize">Columns of a row of hidden states.</param>
/// <param name="ContextLength">Most tokens of one sequence.</param>
/// <param name="KvBlockCount">Blocks of the KV cache.</param>
/// <param name="KvBlockTokens">Tokens of a block.</param>
/// <param name="MaxLogitRows">Most rows of logits of one step: what the device keeps memory for.</param>
public sealed record ExecutorShape(int VocabularySize, int HiddenSize, int ContextLength, int KvBlockCount, int KvBlockTokens, int MaxLogitRows);

/// <summary>A step could not be computed.</summary>
public sealed class StepFailedException(string message, Exception? inner = null) : Exception(message, inner);

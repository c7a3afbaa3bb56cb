namespace Granary.Engine.Execution;

/// <summary>Runs steps of one replica on its device. Used by one thread at a time: the engine's.</summary>
public interface IStepExecutor : IDisposable
{
    /// <summary>Sizes that the scheduler and the sampler need.</summary>
    ExecutorShape Shape { get; }

    /// <summary>Computes a step, writes its keys and values into the cache, and returns the sampled rows' logits.</summary>
    /// <returns>Row-major [S, vocabulary]; valid until the next call. The caller may write into it.</returns>
    /// <exception cref="StepFailedException">The device failed; the cache's content is unknown and the engine's life ends.</exception>
    Span<float> Execute(StepPlan plan);
}

/// <summary>What a replica's device offers.</summary>
/// <param name="VocabularySize">Columns of a row of logits.</param>
/// <param name="ContextLength">Most tokens of one sequence.</param>
/// <param name="KvBlockCount">Blocks of the KV cache.</param>
/// <param name="KvBlockTokens">Tokens of a block.</param>
public sealed record ExecutorShape(int VocabularySize, int ContextLength, int KvBlockCount, int KvBlockTokens);

/// <summary>A step could not be computed.</summary>
public sealed class StepFailedException(string message, Exception? inner = null) : Exception(message, inner);

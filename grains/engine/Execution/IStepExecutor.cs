namespace Granary.Engine.Execution;

/// <summary>Runs steps of one replica on its device, in the order in which they begin. Used by one thread at a time: the engine's.</summary>
/// <remarks>
/// Every step that begins ends, in the same order. Up to <see cref="ExecutorShape.StepsInFlight"/> steps may have begun and not ended:
/// a replica of many stages works on that many at a time, each at another stage. No sequence is in two of them, and none writes into a
/// block that another uses. Disposed with steps in flight only after a failure, and from then on nothing is asked of it.
/// </remarks>
public interface IStepExecutor : IDisposable
{
    /// <summary>Sizes that the scheduler and the sampler need.</summary>
    ExecutorShape Shape { get; }

    /// <summary>Takes a step to compute; its keys and values are in the cache when it has ended.</summary>
    /// <param name="plan">The caller's again on return.</param>
    /// <exception cref="StepFailedException">The device failed; the cache's content is unknown and the engine's life ends.</exception>
    void Begin(StepPlan plan);

    /// <summary>Waits for the step that began first of those that have not ended.</summary>
    /// <returns>The hidden states and logits that its plan wants; valid until the next call.</returns>
    /// <exception cref="StepFailedException">The device failed; the cache's content is unknown and the engine's life ends.</exception>
    StepOutput End();

    /// <summary>Completes or faults when the device is lost, which an engine without work would not see; null where that cannot happen by itself.</summary>
    Task? Lost => null;

    /// <summary>Its KV cache, where blocks can be copied out and in; null where that is not so, and then nothing is cached but on the device.</summary>
    IKvBlockStore? BlockStore => null;
}

/// <summary>What a replica's device offers.</summary>
/// <param name="VocabularySize">Columns of a row of logits.</param>
/// <param name="HiddenSize">Columns of a row of hidden states.</param>
/// <param name="ContextLength">Most tokens of one sequence.</param>
/// <param name="KvBlockCount">Blocks of the KV cache.</param>
/// <param name="KvBlockTokens">Tokens of a block.</param>
/// <param name="MaxLogitRows">Most rows of logits of one step: what the device keeps memory for.</param>
/// <param name="StepsInFlight">Most steps that may have begun and not ended, at least 1.</param>
/// <param name="Summaries">Whether it heeds <see cref="StepPlan.RowTemperatures"/>; else all rows of logits are at hand whole.</param>
public sealed record ExecutorShape(
    int VocabularySize, int HiddenSize, int ContextLength, int KvBlockCount, int KvBlockTokens, int MaxLogitRows,
    int StepsInFlight = 1, bool Summaries = false);

/// <summary>Values of <see cref="StepPlan.RowTemperatures"/> that are no temperatures.</summary>
public static class RowWants
{
    /// <summary>All columns, as for log-probabilities, bias and penalties.</summary>
    public const float Whole = -1;

    /// <summary>Only the highest logit.</summary>
    public const float Highest = 0;
}

/// <summary>A step could not be computed.</summary>
public sealed class StepFailedException(string message, Exception? inner = null) : Exception(message, inner);

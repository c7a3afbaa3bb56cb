using Granary.Engine.Partitioning;

namespace Granary.Engine.Execution;

/// <summary>Runs one shard's part of steps on its device. Used by one thread at a time.</summary>
/// <remarks>Steps come in the order in which the leader began them, the same on every shard of the replica.</remarks>
public interface IShardExecutor : IDisposable
{
    ShardShape Shape { get; }

    /// <summary>Where the stage before puts the residual stream of a step: row-major [tokens, hidden]. Not for the first stage.</summary>
    Span<float> Input(int tokens);

    /// <summary>Computes the step and writes its keys and values into the cache.</summary>
    /// <exception cref="StepFailedException">The device or a rank beside it failed; the cache's content is unknown.</exception>
    void Execute(StepPlan plan);

    /// <summary>The residual stream for the next stage, row-major [tokens, hidden]; valid until the next step. Not for the last stage.</summary>
    ReadOnlySpan<float> Output { get; }

    /// <summary>Row-major [N, hidden], as <see cref="StepOutput"/>; the same on every rank. Of the last stage.</summary>
    ReadOnlySpan<float> Hidden { get; }

    /// <summary>Row-major [S, columns]: this rank's columns of the step's rows of logits. Of the last stage.</summary>
    ReadOnlySpan<float> Logits { get; }
}

/// <summary>What a shard's device offers. Equal on all shards of a replica but for the slice.</summary>
/// <param name="Slice">What it holds.</param>
/// <param name="Whole">Sizes of the whole replica: what its engine is told.</param>
/// <param name="MaxTokensPerStep">Rows that <see cref="IShardExecutor.Input"/> has room for.</param>
/// <param name="MaxSequencesPerStep">Most sequences of one step.</param>
public sealed record ShardShape(ShardSlice Slice, ExecutorShape Whole, int MaxTokensPerStep, int MaxSequencesPerStep);

/// <summary>Adds up the partial sums of the ranks of one stage. Called from inside a step, by the thread that runs it.</summary>
public interface IRankReducer
{
    /// <summary>Replaces each value by the sum over all ranks, added in the order of ranks: the same bits on every rank and in every run.</summary>
    /// <param name="values">Row-major [rows, columns], the rank's own partial sums; in place. Never empty: for no rows no rank calls.</param>
    /// <param name="columns">Of a row. What a row becomes does not depend on the other rows.</param>
    /// <exception cref="StepFailedException">A rank is lost, late, or in another step; every rank gets it within a bound.</exception>
    void AllReduce(Span<float> values, int columns);
}

using Granary.Engine.Sampling;

namespace Granary.Engine.Prompts;

/// <summary>Takes in what a step computed for a range of a prompt's positions: each once and in order, whatever the chunks and preemptions.</summary>
/// <remarks>Positions from <see cref="Next"/> on must be computed by a step, so no further prefix than that may come from the cache.</remarks>
internal abstract class PromptReading(int first, int end)
{
    /// <summary>The position that is read next.</summary>
    public int Next { get; private set; } = first;

    public bool IsDone => Next >= end;

    /// <summary>The position behind the last one that is read.</summary>
    protected int End => end;

    /// <summary>Whether it reads rows of logits; else it reads hidden states.</summary>
    public abstract bool NeedsLogits { get; }

    /// <returns>What the request wants read; null for nothing.</returns>
    public static PromptReading? Of(EngineRequest request)
    {
        var prompt = request.PromptTokenIds.Length - request.ReplayedTokens;
        if (request.Pooling is { } pooling) return new PooledPrompt(pooling, prompt);
        return request.PromptLogprobs is { } top ? new ScoredPrompt(request.PromptTokenIds, prompt, top) : null;
    }

    /// <summary>How many of <paramref name="count"/> positions from <paramref name="start"/> on are still to be read.</summary>
    public int RowsOf(int start, int count) => Math.Max(0, Math.Min(start + count, end) - Math.Max(start, Next));

    /// <summary>Takes the row of position <see cref="Next"/>.</summary>
    /// <exception cref="Execution.StepFailedException">The row, or what comes of it, is not finite: the step's results are garbage.</exception>
    public void Take(ReadOnlySpan<float> row, Sampler sampler)
    {
        Read(Next, row, sampler);
        Next++;
    }

    /// <summary>The result; once all positions have been read.</summary>
    public abstract PromptOutput Finish();

    protected abstract void Read(int position, ReadOnlySpan<float> row, Sampler sampler);
}

using Granary.Engine.Sampling;

namespace Granary.Engine.Prompts;

/// <summary>Finds how likely each token of a prompt was, from the logits of the position before it.</summary>
/// <param name="ids">Begins with the prompt.</param>
/// <param name="tokens">Tokens of the prompt.</param>
/// <param name="top">Likeliest tokens to tell of each position.</param>
internal sealed class ScoredPrompt(int[] ids, int tokens, int top) : PromptReading(0, tokens - 1)
{
    private readonly LogprobRow[] _rows = new LogprobRow[tokens - 1];

    public override bool NeedsLogits => true;

    public override PromptOutput Finish() => new(_rows, null);

    protected override void Read(int position, ReadOnlySpan<float> row, Sampler sampler) =>
        _rows[position] = sampler.Score(row, ids[position + 1], top, position);
}

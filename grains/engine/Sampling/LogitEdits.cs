namespace Granary.Engine.Sampling;

/// <summary>Bias, penalties and the mask of ending tokens, applied to a row of logits in place.</summary>
internal sealed class LogitEdits(int vocabularySize)
{
    private const int InPrompt = 1 << 30;

    private readonly int[] _seen = new int[vocabularySize]; // Times in the output, plus InPrompt; all zero between calls.

    public void Apply(Span<float> logits, SamplingParameters parameters, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output)
    {
        if (parameters.LogitBias is { Count: > 0 } biases)
        {
            foreach (var (id, bias) in biases) logits[id] = Finite(logits[id] + bias);
        }

        Penalize(logits, parameters, prompt, output);

        if (output.Length < parameters.MinTokens)
        {
            foreach (var id in parameters.StopTokenIds)
            {
                if ((uint)id < (uint)logits.Length) logits[id] = float.NegativeInfinity;
            }
        }
    }

    private void Penalize(Span<float> logits, SamplingParameters parameters, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output)
    {
        var repetition = parameters.RepetitionPenalty != 1;
        if (!repetition && parameters.PresencePenalty == 0 && parameters.FrequencyPenalty == 0) return;

        if (!repetition) prompt = [];
        foreach (var id in prompt) _seen[id] = InPrompt;
        foreach (var id in output) _seen[id]++;
        PenalizeSeen(logits, parameters, prompt);
        PenalizeSeen(logits, parameters, output);
    }

    private void PenalizeSeen(Span<float> logits, SamplingParameters parameters, ReadOnlySpan<int> ids)
    {
        foreach (var id in ids)
        {
            var seen = _seen[id];
            if (seen == 0) continue; // Done where it occurred first.
            _seen[id] = 0;

            var logit = logits[id];
            logit = logit > 0 ? logit / parameters.RepetitionPenalty : logit * parameters.RepetitionPenalty;
            var times = seen & ~InPrompt;
            if (times > 0) logit -= parameters.PresencePenalty + times * parameters.FrequencyPenalty;
            logits[id] = Finite(logit);
        }
    }

    /// <summary>Keeps an extreme penalty from making an infinity out of a finite logit; NaN stays for the sampler to find.</summary>
    private static float Finite(float logit) => Math.Clamp(logit, float.MinValue, float.MaxValue);
}

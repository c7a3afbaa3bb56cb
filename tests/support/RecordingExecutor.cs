using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>Passes steps on and remembers a digest of every row of logits, so that two runs can be compared to the bit.</summary>
/// <remarks>Read it when the engine is idle. A row that is not finite fails the step: two NaN rows would be equal and mean nothing.</remarks>
public sealed class RecordingExecutor(IStepExecutor inner) : IStepExecutor
{
    public ExecutorShape Shape => inner.Shape;

    /// <summary>Digests of the logits of every sampled row so far.</summary>
    public HashSet<UInt128> Rows { get; } = [];

    /// <summary>Most sequences that shared a step.</summary>
    public int WidestStep { get; private set; }

    /// <summary>Most tokens of a step.</summary>
    public int LongestStep { get; private set; }

    /// <summary>Steps in which a sequence took part without a row of its own: pieces of a prompt.</summary>
    public int PartialSteps { get; private set; }

    public Span<float> Execute(StepPlan plan)
    {
        var logits = inner.Execute(plan);
        WidestStep = Math.Max(WidestStep, plan.SequenceCount);
        LongestStep = Math.Max(LongestStep, plan.TokenCount);
        if (plan.SampledCount < plan.SequenceCount) PartialSteps++;
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        for (var row = 0; row < plan.SampledCount; row++)
        {
            var values = logits.Slice(row * Shape.VocabularySize, Shape.VocabularySize);
            foreach (var value in values)
            {
                if (!float.IsFinite(value)) throw new StepFailedException($"Step {plan.Step}, row {row}: a logit is {value}.");
            }

            SHA256.HashData(MemoryMarshal.AsBytes(values), digest);
            Rows.Add(MemoryMarshal.Read<UInt128>(digest));
        }

        return logits;
    }

    public void Dispose() => inner.Dispose();
}

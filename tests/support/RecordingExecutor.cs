using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Granary.Engine.Execution;

namespace Granary.Tests.Support;

/// <summary>Passes steps on and remembers a digest of every row of logits and of hidden states, so that two runs can be compared to the bit.</summary>
/// <remarks>Read it when the engine is idle. A row that is not finite fails the step: two NaN rows would be equal and mean nothing.</remarks>
public sealed class RecordingExecutor(IStepExecutor inner) : IStepExecutor
{
    private readonly Queue<StepPlan> _begun = new();

    public ExecutorShape Shape => inner.Shape;

    public IKvBlockStore? BlockStore => inner.BlockStore;

    public Task? Lost => inner.Lost;

    /// <summary>Digests of every row of logits so far.</summary>
    public HashSet<UInt128> Rows { get; } = [];

    /// <summary>Digests of every row of hidden states so far.</summary>
    public HashSet<UInt128> HiddenRows { get; } = [];

    /// <summary>Most rows of logits of a step.</summary>
    public int MostLogitRows { get; private set; }

    /// <summary>Tokens computed in all steps.</summary>
    public long Tokens { get; private set; }

    /// <summary>Most sequences that shared a step.</summary>
    public int WidestStep { get; private set; }

    /// <summary>Most tokens of a step.</summary>
    public int LongestStep { get; private set; }

    /// <summary>Steps in which a sequence took part without a row of logits: pieces of a prompt.</summary>
    public int PartialSteps { get; private set; }

    public void Begin(StepPlan plan)
    {
        inner.Begin(plan);
        var copy = new StepPlan();
        plan.CopyTo(copy);
        _begun.Enqueue(copy);
    }

    public StepOutput End()
    {
        var output = inner.End();
        var plan = _begun.Dequeue();
        Tokens += plan.TokenCount;
        MostLogitRows = Math.Max(MostLogitRows, plan.LogitCount);
        WidestStep = Math.Max(WidestStep, plan.SequenceCount);
        LongestStep = Math.Max(LongestStep, plan.TokenCount);
        if (plan.LogitCount < plan.SequenceCount) PartialSteps++;
        Record(plan, output.AllLogits(plan), Shape.VocabularySize, Rows);
        Record(plan, output.Hidden, Shape.HiddenSize, HiddenRows);
        return output;
    }

    public void Dispose() => inner.Dispose();

    private static void Record(StepPlan plan, Span<float> rows, int columns, HashSet<UInt128> digests)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        for (; rows.Length > 0; rows = rows[columns..])
        {
            foreach (var value in rows[..columns])
            {
                if (!float.IsFinite(value)) throw new StepFailedException($"Step {plan.Step}: a value is {value}.");
            }

            SHA256.HashData(MemoryMarshal.AsBytes(rows[..columns]), digest);
            digests.Add(MemoryMarshal.Read<UInt128>(digest));
        }
    }
}

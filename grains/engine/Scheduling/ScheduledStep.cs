using Granary.Engine.Execution;

namespace Granary.Engine.Scheduling;

/// <summary>A step from its making to its end. Belongs to the scheduler, which uses it again after <see cref="Scheduler.Complete"/>.</summary>
internal sealed class ScheduledStep
{
    /// <summary>What the executor is given.</summary>
    public StepPlan Plan { get; } = new();

    /// <summary>The sequences that advance in it, in the plan's order. None is in another step that has not ended.</summary>
    public List<Sequence> Planned { get; } = [];

    /// <summary>Those of them that get a token, in the same order.</summary>
    public List<Sequence> Sampled { get; } = [];

    /// <summary>Whether a step that was under way when this one began computes prompts, which delay it.</summary>
    public bool BehindPrompts { get; set; }

    /// <summary>When it began, by the engine's clock.</summary>
    public long Began { get; set; }

    /// <summary>How long it should take by what was measured before it.</summary>
    public double ExpectedSeconds { get; set; }

    /// <summary>Takes in those of the sequences, in this order, that have been given tokens of this step.</summary>
    public void Collect(List<Sequence> running)
    {
        Planned.Clear();
        Sampled.Clear();
        foreach (var sequence in running)
        {
            if (sequence.InFlight || sequence.Scheduled == 0) continue;
            Planned.Add(sequence);
            if (sequence.Scheduled == sequence.Pending && sequence.WantsToken) Sampled.Add(sequence);
        }
    }
}

namespace Granary.Client;

/// <summary>How streams outlive the replicas that they read from. In a silo bound from <c>Granary:Survival</c>.</summary>
public sealed class SurvivalOptions
{
    /// <summary>Most lives of replicas that may take one request before it is given up; 1 gives it up with the first. Moves away from a replica that ends in order do not count.</summary>
    /// <value>Default 8: a request that eight lives could not finish is the more likely cause.</value>
    public int MaxLives { get; set; } = 8;

    /// <summary>The longest that a request which was taken once waits for another life, while nobody is ready.</summary>
    /// <value>Default 60 s: a worker that starts anew loads its model within that time. The request's own deadline comes first.</value>
    public TimeSpan MaxWait { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>The least time without any message after which a replica that has sequences is taken for lost.</summary>
    /// <value>Default 700 ms: three heartbeats of a busy reader and a pause of a garbage collector. It grows to four times the longest gap that was lately seen.</value>
    public TimeSpan SilenceLimit { get; set; } = TimeSpan.FromMilliseconds(700);

    /// <summary>The least time that the steps of a replica may stand still while it says that it is there.</summary>
    /// <value>Default 1 s.</value>
    public TimeSpan StallLimit { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How many of its longest recent steps a replica's steps may stand still, where that is longer than <see cref="StallLimit"/>.</summary>
    /// <value>Default 5. Each stall of a request doubles the patience that it has with the next life: slow is not dead.</value>
    public double StallSteps { get; set; } = 5;

    /// <summary>The same for a life that has not ended a step yet.</summary>
    /// <value>Default 10 s: a first step may allocate and compile.</value>
    public TimeSpan WarmUpLimit { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a replica or router may take to answer a call that only admits or decides.</summary>
    /// <value>Default 3 s: such calls wait for nothing, but may stand behind a pause of a garbage collector.</value>
    public TimeSpan AnswerLimit { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>How long the steps of a life may stand still.</summary>
    /// <param name="stepSeconds">Its longest step of late; 0 before the first.</param>
    internal TimeSpan StallLimitOf(double stepSeconds)
    {
        if (!(stepSeconds > 0)) return WarmUpLimit;
        var own = TimeSpan.FromSeconds(Math.Min(StallSteps * stepSeconds, 3600));
        return own > StallLimit ? own : StallLimit;
    }

    internal void CopyTo(SurvivalOptions other)
    {
        (other.MaxLives, other.MaxWait, other.AnswerLimit) = (MaxLives, MaxWait, AnswerLimit);
        (other.SilenceLimit, other.StallLimit, other.StallSteps, other.WarmUpLimit) = (SilenceLimit, StallLimit, StallSteps, WarmUpLimit);
    }
}

namespace Granary.Client;

/// <summary>Whether a request is what ends the lives that take it.</summary>
/// <remarks>
/// A failed step names all its sequences, and a killed process none: one loss proves nothing. A suspect is computed alone until it has passed the
/// place where it was lost; who ends a life while it is alone is the cause.
/// </remarks>
internal sealed class Suspicion
{
    /// <summary>Lives that may end without a word before the request is suspect.</summary>
    private const int MostSuddenEnds = 2;

    private int _failedSteps;
    private int _suddenEnds;

    /// <summary>The next life is to compute it alone.</summary>
    public bool IsSuspect => _failedSteps > 0 || _suddenEnds >= MostSuddenEnds;

    /// <summary>Lives that ended with it, since it last passed a suspect place.</summary>
    public int Ends => _failedSteps + _suddenEnds;

    /// <summary>A life that took it was lost.</summary>
    /// <param name="wasAlone">It was taken as suspect, and has not passed the place.</param>
    public Verdict Judge(Loss loss, bool wasAlone)
    {
        if (loss.WasInFailedStep)
        {
            _failedSteps++;
            return wasAlone ? Verdict.Quarantine : Verdict.GoOn;
        }

        if (!loss.IsSudden) return Verdict.GoOn;
        _suddenEnds++;
        // Messages are lost for other reasons as well: silence proves less than a call that breaks.
        var most = loss.Reason == LossReason.Stall ? 2 * MostSuddenEnds : MostSuddenEnds;
        return wasAlone && Ends > most ? Verdict.GiveUp : Verdict.GoOn;
    }

    /// <summary>It has passed the place.</summary>
    public void Clear() => (_failedSteps, _suddenEnds) = (0, 0);
}

/// <summary>What becomes of a request whose life was lost.</summary>
internal enum Verdict
{
    GoOn,

    /// <summary>It may be the cause; nobody knows.</summary>
    GiveUp,

    /// <summary>It is the cause: nobody is to take it for a while.</summary>
    Quarantine,
}

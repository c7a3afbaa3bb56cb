namespace Granary.Engine.Scheduling;

/// <summary>When a sequence gets a step of its own that must share none: alternately with the others, so that neither keeps the other from advancing.</summary>
/// <remarks>
/// Such a step is in flight by itself. Between two of them the others may fill the device once, so that at most every second step is one, and
/// a pipeline of stages empties no more often than it fills. They come one after another, in order of arrival.
/// </remarks>
/// <param name="depth">Most steps in flight.</param>
internal sealed class AloneTurns(int depth)
{
    private readonly List<Sequence> _sequences = [];
    private int _othersSteps; // That come before the next step of one of these.

    /// <summary>The one that could not start in its turn: nobody may start behind it.</summary>
    public Sequence? Held { get; private set; }

    public void Add(Sequence sequence)
    {
        if (sequence.IsAlone) _sequences.Add(sequence);
    }

    /// <summary>The sequence whose turn comes next; null when there is none.</summary>
    public Sequence? Next()
    {
        if (_sequences.Count == 0) return null;
        _sequences.RemoveAll(sequence => sequence.State == SequenceState.Ended || !sequence.IsAlone);
        return _sequences.Find(sequence => !sequence.Handle.IsPaused());
    }

    /// <summary>Whether the others have had their turn.</summary>
    public bool IsDue => _othersSteps == 0;

    public void OthersAdvanced() => _othersSteps = Math.Max(0, _othersSteps - 1);

    /// <param name="heldUp">The sequence if it could not advance.</param>
    public void HadTurn(Sequence? heldUp) => (_othersSteps, Held) = (depth, heldUp);
}

namespace Granary.Engine.Scheduling;

/// <summary>How many sequences a step may take, so that those that can advance spread over all steps that may be in flight.</summary>
/// <remarks>
/// One step with everything in it would leave all stages of a replica but one without work. Sequences are counted, not tokens: a prompt is
/// in one step at a time, so cutting it smaller would only lengthen it. With one step in flight there is no limit.
/// </remarks>
/// <param name="Decoding">Most sequences that take their next token.</param>
/// <param name="Prompts">Most sequences that compute a piece of a prompt, started or not.</param>
internal readonly record struct StepShares(int Decoding, int Prompts)
{
    /// <param name="depth">Most steps in flight.</param>
    /// <param name="inFlight">How many are, fewer than <paramref name="depth"/>.</param>
    /// <param name="maxRunning">Most running sequences.</param>
    public static StepShares Of(int depth, int inFlight, List<Sequence> running, List<Sequence> waiting, int maxRunning)
    {
        if (depth == 1) return new(int.MaxValue, int.MaxValue);

        var (decoding, ready, prompts) = (0, 0, 0);
        foreach (var sequence in running)
        {
            if (sequence.InFlight)
            {
                if (sequence.Scheduled == sequence.Pending) decoding++; // When its step has ended.
            }
            else if (!sequence.Handle.IsPaused())
            {
                if (sequence.Pending == 1) (decoding, ready) = (decoding + 1, ready + 1);
                else prompts++;
            }
        }

        prompts += Math.Min(waiting.Count, Math.Max(1, maxRunning - running.Count)); // One may take the place of a paused sequence.
        var free = depth - inFlight;
        // The first keeps steps that have grown uneven from staying so, the second spreads a few evenly.
        return new(Math.Min(Share(decoding, depth), Share(ready, free)), Share(prompts, free));
    }

    private static int Share(int count, int steps) => (count + steps - 1) / steps;
}

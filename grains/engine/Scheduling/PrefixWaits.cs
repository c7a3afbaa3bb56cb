using Granary.Engine.Kv;

namespace Granary.Engine.Scheduling;

/// <summary>Lets a waiting sequence wait for a prefix that an older one is computing, instead of computing it a second time.</summary>
/// <remarks>
/// It waits, in one step, only for a sequence that arrived before it and advances in that step: so the oldest waits for nobody, no two
/// for each other, and one that is cancelled, preempted or paused holds nobody up. What has arrived before is fixed at arrival,
/// so no stream of newcomers can keep a sequence waiting.
/// </remarks>
internal sealed class PrefixWaits(KvCache cache)
{
    /// <param name="sequence">Holds no blocks.</param>
    /// <param name="running">In order of arrival, with what they advance by in this step.</param>
    /// <returns>Whether the next block that the sequence could take from the cache is on its way there.</returns>
    public bool MustWait(Sequence sequence, List<Sequence> running)
    {
        if (!cache.IsShared) return false;
        if (sequence.Awaited is { } awaited && Computes(awaited, sequence.AwaitedTokens)) return true;

        sequence.Awaited = null;
        sequence.ExpectedCached = cache.FindPrefix(sequence.Blocks, sequence.CacheableTokens);
        var tokens = sequence.ExpectedCached + cache.BlockTokens;
        if (tokens > sequence.CacheReach) return false;
        foreach (var older in running)
        {
            if (older.Arrival > sequence.Arrival) return false;
            if (!Computes(older, tokens) || older.Blocks.Salt != sequence.Blocks.Salt) continue;
            if (!older.Tokens[..tokens].SequenceEqual(sequence.Tokens[..tokens])) continue;
            (sequence.Awaited, sequence.AwaitedTokens) = (older, tokens);
            sequence.ExpectedCached = CommonTokens(older, sequence);
            return true;
        }

        return false;
    }

    /// <summary>Foretells what a sequence that has just come will find in the cache: what is there, or what an older one has yet to compute.</summary>
    public void Foretell(Sequence sequence, List<Sequence> running, List<Sequence> waiting)
    {
        if (!cache.IsShared) return;
        sequence.ExpectedCached = cache.FindPrefix(sequence.Blocks, sequence.CacheableTokens);
        foreach (var older in running) Foretell(sequence, older);
        foreach (var older in waiting) Foretell(sequence, older);
    }

    private void Foretell(Sequence sequence, Sequence older)
    {
        var least = sequence.ExpectedCached + cache.BlockTokens;
        if (least > sequence.CacheReach || least > older.TokenCount || older.PendingPrompt == 0) return;
        if (older.Blocks.Salt == sequence.Blocks.Salt && older.Reading is not { NeedsLogits: true })
            sequence.ExpectedCached = Math.Max(sequence.ExpectedCached, CommonTokens(older, sequence));
    }

    /// <returns>Tokens in the full blocks that both begin with, as far as the sequence may take them from the cache.</returns>
    private int CommonTokens(Sequence older, Sequence sequence)
    {
        var common = older.Tokens.CommonPrefixLength(sequence.Tokens[..sequence.CacheReach]);
        return common - common % cache.BlockTokens;
    }

    /// <summary>Whether the sequence advances now and has yet to finish its first <paramref name="tokens"/> tokens.</summary>
    /// <remarks>One that needs logits of every position is slower than a sequence of its own would be: nobody waits for it.</remarks>
    private static bool Computes(Sequence sequence, int tokens) =>
        sequence.Scheduled > 0 && sequence.Computed < tokens && tokens <= sequence.TokenCount && sequence.Reading is not { NeedsLogits: true };
}

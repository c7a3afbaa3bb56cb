namespace Granary.Routing;

/// <summary>Weighs a replica for a prefix; the same in every process and for every life of the replica.</summary>
public static class RendezvousHash
{
    /// <summary>FNV-1a over the id's characters, mixed with the prefix by the finalizer of SplitMix64 (Steele et al., 2014).</summary>
    public static ulong Weight(ulong prefix, string replicaId)
    {
        var hash = 14695981039346656037UL;
        foreach (var character in replicaId) hash = (hash ^ character) * 1099511628211;
        hash ^= Mix(prefix);
        return Mix(hash);
    }

    private static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

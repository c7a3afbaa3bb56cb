namespace Granary.GrainInterfaces.Cluster;

/// <summary>The keys of grains that belong to one device or one silo. Each begins with its silo's name: that is where the grain is placed.</summary>
/// <remarks>Names of silos, devices and models have no slash.</remarks>
public static class GrainKeys
{
    /// <summary><c>silo/device</c>.</summary>
    public static string Worker(string silo, string device) => $"{silo}/{device}";

    /// <summary><c>silo/device/model/index</c>: where the replica's engine is. A replica that moves has another key.</summary>
    /// <param name="worker">Key of the worker; of the leader's, where the replica is cut.</param>
    public static string Replica(string worker, string model, int index) => $"{worker}/{model}/{index}";

    /// <summary><c>silo/device/model/index/stage.rank</c>: where the shard is, not its leader.</summary>
    /// <param name="worker">Key of the shard's worker.</param>
    /// <param name="replicaId">Key of the replica it is part of.</param>
    public static string Shard(string worker, string replicaId, int stage, int rank) =>
        $"{worker}/{ReplicaName(replicaId)}/{stage}.{rank}";

    /// <summary><c>silo/model</c>: the router of one silo's gateway. Without a silo, the one that clients outside of the silos share.</summary>
    public static string Router(string? silo, string model) => $"{silo}/{model}";

    /// <summary>The model of a router's key: what stands after the last slash.</summary>
    public static string ModelOf(string router) => router[(router.LastIndexOf('/') + 1)..];

    /// <summary><c>tenant/id</c>: sessions of one tenant are not seen by another.</summary>
    /// <param name="tenant">Without a slash; null for the anonymous tenant.</param>
    public static string Session(string? tenant, string id) => $"{tenant}/{id}";

    /// <summary>The silo that a key names; empty for one that names none: its grain may be anywhere.</summary>
    public static ReadOnlySpan<char> SiloOf(ReadOnlySpan<char> key) => key[..Math.Max(0, key.IndexOf('/'))];

    /// <summary><c>silo/device</c> of a replica's key.</summary>
    public static string WorkerOf(string replicaId) => replicaId[..(replicaId.Length - ReplicaName(replicaId).Length - 1)];

    /// <summary><c>model/index</c> of a replica's key: what it is called wherever it is.</summary>
    public static string ReplicaName(string replicaId)
    {
        var index = replicaId.LastIndexOf('/');
        var model = index > 0 ? replicaId.LastIndexOf('/', index - 1) : -1;
        return replicaId[(model + 1)..];
    }
}

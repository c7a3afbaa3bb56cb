using Granary.Engine.Kv;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>An engine's events as routers get them.</summary>
internal static class KvNews
{
    /// <summary>Engines number from 0, routers' events from 1: there 0 is who knows nothing.</summary>
    public const long Offset = 1;

    public static KvEvents Of(KvEventBatch batch) => new()
    {
        First = batch.IsSnapshot ? 0 : batch.First + Offset,
        Next = batch.Next + Offset,
        IsSnapshot = batch.IsSnapshot,
        Runs = Array.ConvertAll(batch.Runs, run => new KvRun(run.IsStored, Of(run.Tier), run.Count)),
        Blocks = batch.Blocks,
    };

    private static KvTier Of(KvBlockTier tier) => tier switch
    {
        KvBlockTier.Device => KvTier.Device,
        KvBlockTier.Host => KvTier.Host,
        KvBlockTier.Disk => KvTier.Disk,
        _ => throw new InvalidOperationException($"Unknown tier of a KV block: {tier}."),
    };
}

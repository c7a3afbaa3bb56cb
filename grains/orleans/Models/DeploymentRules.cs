using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Models;

namespace Granary.Grains.Models;

/// <summary>Bounds of what may be asked of a model.</summary>
internal static class DeploymentRules
{
    public const int MaxReplicas = 1024;
    public const int MaxThreads = 1024;
    public const int MaxStages = 1024;
    public const int MaxRanks = 64;
    public const int MaxOffer = 256;
    public const int MaxKvBlocks = 1 << 26; // Times the tokens of a block it is still a number of 32 bits.

    /// <exception cref="RequestRefusedException">A value is out of its bounds.</exception>
    public static void Require(DeploymentSpec spec)
    {
        RequireBetween(spec.Replicas, 0, MaxReplicas, "replicas");
        RequireBetween(spec.IntraOpThreadsPerReplica, 1, MaxThreads, "intra_op_threads_per_replica");
        RequireBetween(spec.KvBlocksPerReplica, 0, MaxKvBlocks, "kv_blocks_per_replica");
        RequireBetween(spec.Stages, 0, MaxStages, "stages");
        RequireBetween(spec.Ranks, 0, MaxRanks, "ranks");
        if (spec.Replicas > 0 && spec.IsWhole && spec.Workers.Length == 0)
            throw new RequestRefusedException($"workers is empty; {spec.Replicas} whole replicas need at least one.", "workers");
        if (spec.Offer is null) return;
        if (spec.Offer.Length is 0 or > MaxOffer) throw new RequestRefusedException($"offer has {spec.Offer.Length} characters; it must have 1 to {MaxOffer}.", "offer");
        if (!spec.IsWhole) throw new RequestRefusedException("offer is set; a share has whole replicas, stages 1 and ranks 1.", "offer");
    }

    private static void RequireBetween(int value, int least, int most, string parameter)
    {
        if (value < least || value > most)
            throw new RequestRefusedException($"{parameter} is {value}; it must be between {least} and {most}.", parameter);
    }
}
